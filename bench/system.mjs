// A system under test: its process, and the server that it talks to.

import { fork } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { adapters } from "./adapters/index.mjs";
import { end, services } from "./services.mjs";

const orderSeconds = 120; // a system that hangs must not hold up the others
let started = 0;

export class System {
  #worker;
  #service;
  #waiting;

  constructor(name, { dir, latencyMs, quick }) {
    this.name = name;
    this.adapter = adapters[name];
    this.options = { latencyMs, quick, dir: join(dir, `${name}-${started++}`) };
  }

  /** Starts its server and its process, unless they run. */
  async start() {
    if (this.#worker !== undefined) return;
    const { file, variant, service, tune } = this.adapter;
    mkdirSync(this.options.dir, { recursive: true });
    if (service !== undefined) this.#service ??= await services[service]({ ...this.options, tune, variant });
    const told = { name: this.name, file, variant, ...this.options, service: this.#service?.told };
    this.#worker = fork(new URL("worker.mjs", import.meta.url), [JSON.stringify(told)], {
      execArgv: ["--expose-gc", "--disable-warning=ExperimentalWarning"],
      env: { ...process.env, PAGEWIRE_TUNE: tune ?? "", ...this.#service?.env },
      stdio: ["ignore", "ignore", "inherit", "ipc"], // rivetkit greets on standard output, which is for results
    });
    await this.#answer();
  }

  /** Has the process prepare a workload, without the latency. */
  async prepare(workload) {
    await this.#service?.delay(0);
    await this.order("prepare", { workload });
    await this.#service?.delay(this.options.latencyMs);
  }

  /** Has the process do something; answers its result, and throws what went wrong there. */
  async order(order, details) {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.kill();
    }, orderSeconds * 1000);
    this.#worker.send({ order, ...details });
    try {
      return await this.#answer();
    } catch (error) {
      throw late ? new Error(`${this.name}: not done after ${orderSeconds} s`) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #answer() {
    const worker = this.#worker;
    this.#waiting = new Promise((resolve, reject) => {
      const settle = (fn, value) => {
        worker.off("message", onMessage);
        worker.off("exit", onExit);
        fn(value);
      };
      const onMessage = ({ result, error }) => {
        if (error === undefined) settle(resolve, result);
        else settle(reject, new Error(`${this.name}: ${error}`));
      };
      const onExit = (code, signal) =>
        settle(reject, new Error(`${this.name}: its process ended with ${signal ?? code}`));
      worker.on("message", onMessage);
      worker.on("exit", onExit);
    });
    return this.#waiting;
  }

  /** Reads its files, so that they are in memory: the kernel may have paged out what nobody has touched for a while. */
  touchFiles() {
    for (const entry of readdirSync(this.options.dir, { recursive: true, withFileTypes: true })) {
      try {
        if (entry.isFile()) readFileSync(join(entry.parentPath, entry.name));
      } catch (error) {
        if (error.code !== "ENOENT") throw error; // a server may remove its files at any time
      }
    }
  }

  /** Ends its process, and keeps the server. */
  async stopProcess() {
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker === undefined) return;
    await end(worker, () => worker.connected && worker.disconnect(), 5000);
  }

  /** Starts its process and server anew, over the same files. */
  async restart() {
    await this.stopProcess();
    await this.#service?.stop();
    this.#service = undefined;
    await this.start();
  }

  /** Ends everything and removes its files. */
  async stop() {
    await this.stopProcess();
    const service = this.#service;
    this.#service = undefined;
    await service?.stop();
    rmSync(this.options.dir, { recursive: true, force: true });
  }

  /** Ends its process at once, whatever it is doing. */
  kill() {
    this.#worker?.kill("SIGKILL");
  }
}
