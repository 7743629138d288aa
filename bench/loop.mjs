// How long the event loop is kept from its work while many actors read cold and write over a slow network.
// Prints one line of JSON; exits with 1 if the 99th percentile is over the target. See README.md.

import { fork } from "node:child_process";
import { once } from "node:events";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { connect } from "../dist/esm/index.mjs";
import { startServer } from "../dist/esm/server.mjs";
import { delayed } from "./delay.mjs";

const { values } = parseArgs({
  options: {
    actors: { type: "string", default: "50" },
    seconds: { type: "string", default: "10" },
    delay: { type: "string", default: "5" },
    rows: { type: "string", default: "2000" },
    target: { type: "string", default: "5" },
  },
});
const { actors, seconds, delay, rows, target } = Object.fromEntries(
  Object.entries(values).map(([name, text]) => [name, Number(text)]),
);
const row = "SELECT v FROM t WHERE id = ?";

/** Fills each actor's table, without the delay. */
async function prepare(url) {
  const channel = await connect({ url });
  for (let i = 0; i < actors; i++) {
    const db = await channel.open(`actor-${i}`);
    await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB) STRICT");
    await db.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       INSERT INTO t SELECT i, randomblob(500) FROM n`,
      [rows],
    );
    await db.close();
  }
  await channel.close();
}

/** Opens, reads cold, scans, writes and closes one actor over and over. */
async function work(channel, actor, until, done) {
  while (performance.now() < until) {
    const db = await channel.open(actor, { preload: 0 });
    for (let i = 0; i < 10; i++) {
      await db.get(row, [1 + Math.floor(Math.random() * rows)]);
      await db.run("UPDATE t SET v = randomblob(500) WHERE id = ?", [1 + Math.floor(Math.random() * rows)]);
      done.reads++;
      done.writes++;
    }
    await db.get("SELECT sum(length(v)) AS n FROM t");
    done.scans++;
    await db.close();
  }
}

const server = await startServer();
const proxy = await delayed(new URL(server.url).port, 2 * delay);
const idle = fork(new URL("idle-loop.mjs", import.meta.url));
try {
  await prepare(server.url);
  const channel = await connect({ url: `ws://127.0.0.1:${proxy.port}` });
  const names = Array.from({ length: actors }, (_, i) => `actor-${i}`);
  const measure = async (length, done) => {
    const until = performance.now() + length;
    await Promise.all(names.map((actor) => work(channel, actor, until, done)));
  };
  await measure(1000, { reads: 0, scans: 0, writes: 0 }); // code is compiled, threads are started

  // The histogram samples a timer: its resolution, the least that it shows, is taken off.
  const resolution = 1;
  const histogram = monitorEventLoopDelay({ resolution });
  const done = { reads: 0, scans: 0, writes: 0 };
  const cpu = process.cpuUsage();
  const begin = performance.now();
  idle.send("start");
  await once(idle, "message");
  histogram.enable();
  await measure(seconds * 1000, done);
  histogram.disable();
  idle.send("stop");
  const [other] = await once(idle, "message");
  const took = performance.now() - begin;
  const { user, system } = process.cpuUsage(cpu);
  const ms = (nanoseconds) => Math.max(0, Number((nanoseconds / 1e6 - resolution).toFixed(2)));
  const p99 = ms(histogram.percentile(99));
  const idleMs = { p50: ms(other.p50), p99: ms(other.p99), max: ms(other.max) };
  console.log(
    JSON.stringify({
      workload: "loop",
      node: process.version,
      actors,
      roundTripMs: 2 * delay,
      seconds: Number((took / 1000).toFixed(1)),
      ...done,
      cpuPercent: Math.round(((user + system) / 1000 / took) * 100),
      delayMs: { p50: ms(histogram.percentile(50)), p99, max: ms(histogram.max) },
      idleProcessDelayMs: idleMs,
      targetP99Ms: target,
    }),
  );
  if (p99 >= target) process.exitCode = 1;
  await channel.close();
} finally {
  await proxy.stop();
  idle.disconnect();
  await server.stop();
}
