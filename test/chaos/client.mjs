// A client process. It works in its main thread, or in worker threads that it terminates amid their work, one after the
// other. It ends when its standard input does, or is told to.

import { once } from "node:events";
import { setTimeout as later } from "node:timers/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Log } from "./log.mjs";
import { seeded } from "./random.mjs";
import { work } from "./work.mjs";

const stop = { asked: false };
const config = isMainThread ? JSON.parse(process.argv[2]) : workerData;

if (isMainThread) {
  process.on("unhandledRejection", (error) => {
    new Log(config.log).write({ violation: `unhandled rejection: ${error?.stack ?? error}` });
    process.exit(1);
  });
  process.stdin.resume().on("data", () => {
    stop.asked = true;
  });
  process.stdin.on("end", () => process.exit(2)); // nobody is there any more
  await (config.threads ? workInThreads() : work(config, stop));
  process.exit(0);
} else {
  parentPort.on("message", () => {
    stop.asked = true;
  });
  await work(config, stop);
  parentPort.close();
}

async function workInThreads() {
  const random = seeded(config.seed);
  const log = new Log(config.log);
  for (let i = 1; !stop.asked; i++) {
    const mine = { ...config, name: `${config.name}w${i}`, seed: random.seed(), log: `${config.log}.w${i}` };
    const thread = new Worker(new URL(import.meta.url), { workerData: mine });
    thread.on("error", (error) => log.write({ violation: `a worker thread threw: ${error.stack}` }));
    const ended = once(thread, "exit");
    const end = Date.now() + random.between(500, 5000);
    while (!stop.asked && Date.now() < end) await later(20);
    if (stop.asked) {
      thread.postMessage("stop");
    } else {
      await thread.terminate();
      log.write({ event: "terminate" });
    }
    await ended;
  }
}
