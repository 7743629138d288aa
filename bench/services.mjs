// The servers that systems need, and the latency before them: started here, ended here, whatever happens.

import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startServer } from "../dist/esm/server.mjs";
import { delayed } from "./delay.mjs";
import { echoGoServer } from "./echo-go.mjs";

const here = (name) => new URL(name, import.meta.url);

function freePort() {
  const { promise, resolve } = Promise.withResolvers();
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
  return promise;
}

/** Ends a child: asks, waits some seconds, then kills. */
export async function end(child, ask = () => child.kill("SIGTERM"), graceMs = 10_000) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  ask();
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await gone;
  clearTimeout(timer);
}

/** `pagewire serve` on Pebble, with its defaults but for the arguments given. */
async function pagewire({ dir, latencyMs, args = [], tune = "" }) {
  process.env.PAGEWIRE_TUNE = tune; // the one variable that startServer() passes on
  const server = await startServer({ dataDir: join(dir, "pagewire"), args: ["--log-level", "error", ...args] });
  const proxy = await delayed(new URL(server.url).port, latencyMs);
  return {
    told: { url: `ws://127.0.0.1:${proxy.port}`, pid: server.pid },
    delay: proxy.set,
    async stop() {
      await proxy.stop();
      await server.stop();
    },
  };
}

/**
 * The engine of rivetkit, with its file-system store (RocksDB) and its defaults, without telemetry. Its program is the one
 * that a module at `resolver` would import.
 */
export async function rivetkit({ dir, latencyMs = 0, resolver = import.meta.url, engineEnv = {} }) {
  const bin = createRequire(resolver)("@rivetkit/engine-cli").getEnginePath();
  const ports = { guard: await freePort(), peer: await freePort(), metrics: await freePort() };
  const token = "dev";
  mkdirSync(dir, { recursive: true });
  const env = {
    RIVET__GUARD__HOST: "127.0.0.1",
    RIVET__GUARD__PORT: `${ports.guard}`,
    RIVET__API_PEER__HOST: "127.0.0.1",
    RIVET__API_PEER__PORT: `${ports.peer}`,
    RIVET__METRICS__HOST: "127.0.0.1",
    RIVET__METRICS__PORT: `${ports.metrics}`,
    RIVET__FILE_SYSTEM__PATH: join(dir, "engine"),
    RIVET__TELEMETRY__ENABLED: "false",
  };
  // The keeper ends the engine when this process is gone, even if it was killed.
  const keeper = fork(here("keeper.mjs"), [bin, "start"], {
    env: { ...process.env, ...env, ...engineEnv },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const log = createWriteStream(join(dir, "engine.log"));
  keeper.stdout.pipe(log);
  keeper.stderr.pipe(log);
  const stopEngine = () => end(keeper, () => keeper.disconnect(), 25_000);
  try {
    const [{ pid }] = await once(keeper, "message");
    const direct = `http://127.0.0.1:${ports.guard}`;
    for (
      let i = 0;
      !(await fetch(`${direct}/health`)
        .then((answer) => answer.ok)
        .catch(() => false));
      i++
    ) {
      if (i === 300 || keeper.exitCode !== null) throw new Error(`rivet-engine did not become healthy: ${log.path}`);
      await sleep(100);
    }
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    // The engine answers before its default namespace exists.
    const configure = async () => {
      const centers = await fetch(`${direct}/datacenters?namespace=default`, { headers });
      if (!centers.ok) return centers;
      const { datacenters } = await centers.json();
      return fetch(`${direct}/runner-configs/default?namespace=default`, {
        method: "PUT",
        headers,
        body: JSON.stringify({ datacenters: { [datacenters[0].name]: { normal: {} } } }),
      });
    };
    for (let i = 0; ; i++) {
      const answer = await configure();
      if (answer.ok) break;
      if (i === 100) throw new Error(`rivet-engine refused its settings: ${answer.status} ${await answer.text()}`);
      await sleep(100);
    }
    const proxy = await delayed(ports.guard, latencyMs);
    return {
      told: { direct, token, pid },
      delay: proxy.set,
      env: {
        RIVET_ENDPOINT: `http://127.0.0.1:${proxy.port}`,
        RIVET_TOKEN: token,
        RIVET_ENVOY_VERSION: "1",
        RIVET_RUN_SERVICES: "0",
        // Else a host that finds a busy engine slow to answer starts one of its own, which outlives it.
        RIVETKIT_ENGINE_SPAWN: "never",
      },
      async stop() {
        await proxy.stop();
        await stopEngine();
      },
    };
  } catch (error) {
    await stopEngine();
    throw error;
  }
}

/** A server that answers a few bytes to what adapters/echo.mjs sends. */
async function echo({ dir, latencyMs, variant }) {
  mkdirSync(dir, { recursive: true });
  const server = fork(here(variant === "threads" ? "echo-threads.mjs" : "echo-server.mjs"), [join(dir, "echo")]);
  const [{ port }] = await once(server, "message");
  const proxy = await delayed(port, latencyMs);
  return {
    told: { port: proxy.port, pid: server.pid },
    delay: proxy.set,
    async stop() {
      await proxy.stop();
      await end(server, () => server.disconnect());
    },
  };
}

/** The same in Go. */
async function echoGo({ dir, latencyMs, variant }) {
  const kind = variant === "core" ? "core" : "plain";
  const server = spawn(echoGoServer(), [kind, join(dir, "echo")], { stdio: ["pipe", "pipe", "inherit"] });
  const [told] = await once(server.stdout, "data");
  const proxy = await delayed(Number(told), latencyMs);
  return {
    told: { port: proxy.port, pid: server.pid },
    delay: proxy.set,
    async stop() {
      await proxy.stop();
      await end(server, () => server.stdin.end());
    },
  };
}

export const services = { pagewire, rivetkit, echo, "echo-go": echoGo };
