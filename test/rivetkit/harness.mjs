// What the tests of the provider start: a Pagewire server, a proxy before it, RivetKit's engine, and processes that host
// actors. The tests themselves are callers of actors.

import { fork } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "pagewire";
import { startServer } from "pagewire/server";
import { end, rivetkit as startEngine } from "../../bench/services.mjs";
import { startProxy } from "../support/proxy.mjs";

const token = "a-token";

// RivetKit's client, which runs in this process, warns of each call that is tried again.
process.env.RIVET_LOG_LEVEL ??= "error";

/** A host that was killed counts as gone when it has been silent for so long, in milliseconds. */
const silence = 3000;
const engineEnv = {
  RIVET__PEGBOARD__ENVOY_UPDATE_PING_INTERVAL: `${silence / 6}`,
  RIVET__PEGBOARD__ENVOY_LOST_THRESHOLD: `${silence}`,
  RIVET__PEGBOARD__ENVOY_ELIGIBLE_THRESHOLD: `${silence}`,
  RIVET__PEGBOARD__BASE_RETRY_TIMEOUT: "100",
  RIVET__PEGBOARD__RETRY_RESET_DURATION: "100",
  RIVET__PEGBOARD__RESCHEDULE_BACKOFF_MAX_EXPONENT: "1",
  // It takes on less work the busier the machine is, and calls that it leaves waiting fail after this time: this many
  // thousandths of a processor are more than any machine has, so it takes on all.
  RIVET__RUNTIME__WORKER_CPU_MAX: "1000000",
  RIVET__GUARD__ROUTE_PEGBOARD_RESOLVE_QUERY_TIMEOUT_MS: "5000",
};

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Waits for something that is not told: asks until fn's answer is truthy, at most for 30 s. */
export async function until(fn) {
  for (const deadline = Date.now() + 30_000; ; await sleep(20)) {
    const answer = await fn();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`not in 30 s: ${fn}`);
  }
}

// What callers of the engine try again.
const lost = /^(guard|pegboard)\.|^actor\.(stopping|stopped|destroyed_while)/;

/** An actor's actions, tried again where the engine lost the call on its way to the actor. */
function handleOf(handle) {
  return new Proxy(handle, {
    get:
      (target, name) =>
      async (...args) => {
        for (const deadline = Date.now() + 20_000; ; await sleep(50)) {
          try {
            return await target[name](...args);
          } catch (error) {
            if (!lost.test(`${error.group}.${error.code}`) || Date.now() > deadline) throw error;
          }
        }
      },
  });
}

/** A process that hosts actors; what it tells is emitted by name. */
class Host extends EventEmitter {
  /** Everything told so far. */
  told = [];

  constructor(program, rivetkit, env) {
    super();
    this.child = fork(program, [rivetkit], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.output = "";
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        this.output += text;
      });
    }
    this.child.on("message", (message) => {
      this.told.push(message);
      this.emit(message.event, message);
    });
  }

  /** What the host tells, or has told, of an actor. */
  async heard(event, id, count = 1) {
    const found = () =>
      this.told.filter((message) => message.event === event && (id === undefined || message.id === id));
    for (const signal = AbortSignal.timeout(30_000); found().length < count; ) await once(this, event, { signal });
    return found().at(-1);
  }

  /** Changes settings of the host. */
  async set(settings) {
    const set = once(this, "set");
    this.child.send(settings);
    await set;
  }

  async kill() {
    const gone = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await gone;
  }

  stop() {
    return end(this.child, () => this.child.disconnect());
  }
}

/** Everything that runs, for one version of RivetKit: "rivetkit" with its engine, or "rivetkit-2.2" with its files. */
export class World {
  #ends = [];

  constructor(rivetkit, program = new URL("host.mjs", import.meta.url)) {
    this.rivetkit = rivetkit;
    this.program = program;
  }

  async start() {
    this.dir = await mkdtemp(join(tmpdir(), "pagewire-rivetkit-"));
    this.#ends.push(() => rm(this.dir, { recursive: true }));
    const server = await startServer({ token });
    this.#ends.push(() => server.stop());
    this.url = server.url;
    this.proxy = await startProxy({ after: (close) => this.#ends.push(close) }, server.url);
    this.env = { PAGEWIRE_URL: this.proxy.url, PAGEWIRE_TOKEN: token };
    if (this.rivetkit === "rivetkit") await this.#engine();
    else await this.#files();
    const { createClient } = await import(`${this.rivetkit}/client`);
    await this.startHost();
    this.client = createClient({ ...this.endpoint, disableMetadataLookup: true });
    this.#ends.push(() => this.client.dispose());
  }

  async #engine() {
    const engine = await startEngine({ dir: this.dir, resolver: import.meta.url, engineEnv });
    this.#ends.push(() => engine.stop());
    Object.assign(this.env, engine.env);
    this.endpoint = { endpoint: engine.told.direct, token: engine.told.token };
    this.registered = async () => {
      const headers = { Authorization: `Bearer ${engine.told.token}` };
      const answer = await fetch(`${engine.told.direct}/envoys?namespace=default&name=default`, { headers });
      return answer.ok && (await answer.json()).envoys.length > 0;
    };
  }

  async #files() {
    const managerPort = await freePort();
    this.endpoint = { endpoint: `http://127.0.0.1:${managerPort}` };
    const config = {
      managerPort,
      managerHost: "127.0.0.1",
      serveManager: true,
      storagePath: this.dir,
      noWelcome: true,
    };
    this.env.HOST_CONFIG = JSON.stringify(config);
    this.registered = () =>
      fetch(`${this.endpoint.endpoint}/health`)
        .then((answer) => answer.ok)
        .catch(() => false);
  }

  /** Starts a process that hosts actors from here on. */
  async startHost(env) {
    this.host = new Host(this.program, this.rivetkit, { ...this.env, ...env });
    await this.host.heard("started");
    await until(() => this.registered());
  }

  /** An actor, made by the first call. */
  actor(type, ...key) {
    return handleOf(this.client[type].getOrCreate(key));
  }

  /** Another client of the Pagewire server, past the proxy. */
  connect() {
    return connect({ url: this.url, token });
  }

  async stop() {
    await this.host?.stop();
    for (const close of this.#ends.reverse()) await close();
  }
}
