// Latency before a server: delay-proxy.c, compiled when it is first needed.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, renameSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const changed = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** The program, compiled anew if its source is newer. */
function program() {
  const [source, built] = [path("delay-proxy.c"), path("../out/delay-proxy")];
  if (changed(built) < changed(source)) {
    mkdirSync(path("../out"), { recursive: true });
    const mine = `${built}-${process.pid}`; // others may be running it, or compile it too
    const { status, error } = spawnSync(process.env.CC ?? "cc", ["-O2", "-o", mine, source], { stdio: "inherit" });
    if (status !== 0) throw new Error(`the delay proxy does not compile (it needs Linux and cc): ${error ?? status}`);
    renameSync(mine, built);
  }
  return built;
}

/** A port of this machine behind which `port` answers roundTripMs later; set() changes that, one call at a time. */
export async function delayed(port, roundTripMs) {
  if (roundTripMs === 0) return { port, async set() {}, async stop() {} };
  const proxy = spawn(program(), [String(port), String(roundTripMs / 2)], { stdio: ["pipe", "pipe", "inherit"] });
  const [told] = await once(proxy.stdout, "data");
  return {
    port: Number(told),
    async set(ms) {
      proxy.stdin.write(`${ms / 2}\n`);
      await once(proxy.stdout, "data"); // it holds from now on
    },
    async stop() {
      proxy.stdin.end();
      if (proxy.exitCode === null) await once(proxy, "exit");
    },
  };
}
