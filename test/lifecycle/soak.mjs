// A soak: databases are opened and closed again and again, then many are in use for minutes, and what the client and the
// server hold must not grow. See docs/reliability.md.
//
// CYCLES says how many times a database is opened and closed (100000), MINUTES how long ACTORS (200) are in use (10).
// Linux only: what processes hold is read from /proc.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as later } from "node:timers/promises";
import { connect } from "pagewire";
import { startServer } from "pagewire/server";

const number = (name, otherwise) => Number(process.env[name] || otherwise);
const cycles = number("CYCLES", 100_000);
const minutes = number("MINUTES", 10);
const actors = number("ACTORS", 200);
const lanes = 8;
/** Most growth that counts as flat, over the second half of a phase. */
const bounds = { rss: 48 * 2 ** 20, heap: 8 * 2 ** 20, files: 8, threads: 8 };
/** Threads that a phase may leave behind once the engine's idle workers have ended: those of the Go runtime. */
const leftThreads = 24;

process.on("unhandledRejection", (error) => {
  throw error;
});
setInterval(() => {}, 60_000); // neither the server nor an idle channel keeps a program alive

function held(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)[1]);
  return { rss: field("VmRSS") * 1024, threads: field("Threads"), files: readdirSync(`/proc/${pid}/fd`).length };
}

/** The slope of values over 0, 1, 2, ..., by least squares. */
function slope(values) {
  const mid = (values.length - 1) / 2;
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  let above = 0;
  let below = 0;
  for (const [i, v] of values.entries()) {
    above += (i - mid) * (v - mean);
    below += (i - mid) ** 2;
  }
  return above / below;
}

/** Prints how what is held grew over the second half of the samples, and fails if it was not flat. */
function judge(what, samples, ...without) {
  for (const who of ["client", "server"]) {
    for (const [name, bound] of Object.entries(bounds)) {
      if (without.includes(`${who} ${name}`)) continue;
      if (!(name in samples[0][who])) continue;
      const values = samples.slice(samples.length >> 1).map((sample) => sample[who][name]);
      const grown = slope(values) * values.length;
      const first = samples[0][who][name];
      console.log(
        `${what}: ${who} ${name}: ${first} at first, ${values[0]} at half, ${values.at(-1)} at last, trend ${Math.round(grown)}`,
      );
      assert.ok(
        grown < bound,
        `${what}: ${name} of the ${who} grew by ${Math.round(grown)} in half the run, ${bound} is the bound`,
      );
    }
  }
}

const server = await startServer({ token: "secret-of-this-soak" });
const channel = await connect({ url: server.url, token: "secret-of-this-soak" });
const sample = () => {
  globalThis.gc?.();
  // What V8 keeps for its young objects grows with the load; what is in use does not.
  return { client: { ...held(process.pid), heap: process.memoryUsage().heapUsed }, server: held(server.pid) };
};

const samples = [];
let opened = 0;
const began = Date.now();
await Promise.all(
  Array.from({ length: lanes }, async (_, lane) => {
    while (opened < cycles) {
      if (opened++ % Math.ceil(cycles / 40) === 0) samples.push(sample());
      const db = await channel.open(`cycle-${lane}`);
      if (opened % 10 === 0) {
        await db.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)");
        await db.run("INSERT OR REPLACE INTO t VALUES (1, randomblob(2000))");
      }
      await db.close();
    }
  }),
);
console.log(`${cycles} databases opened and closed in ${Math.round((Date.now() - began) / 1000)} s`);
judge("open and close", samples);

samples.length = 0;
const until = Date.now() + minutes * 60_000;
let statements = 0;
const uses = Array.from({ length: actors }, async (_, i) => {
  const db = await channel.open(`actor-${i}`);
  await db.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)");
  for (let n = 0; Date.now() < until; n++) {
    await db.run("INSERT OR REPLACE INTO t VALUES (?, randomblob(3000))", [n % 50]);
    await db.transaction((tx) => tx.run("UPDATE t SET v = randomblob(100) WHERE id = ?", [n % 7]));
    for await (const _ of db.iterate("SELECT * FROM t")) if (n % 3 === 0) break;
    await db.get("SELECT sleepless", []).catch(({ code }) => assert.equal(code, "SQLITE_ERROR"));
    await db
      .all("SELECT * FROM t", [], { signal: AbortSignal.timeout(1) })
      .catch(({ code }) => assert.equal(code, "aborted"));
    statements += 5;
    await later(20);
  }
  await db.close();
});
const watch = (async () => {
  while (Date.now() < until) {
    samples.push(sample());
    await later((minutes * 60_000) / 60);
  }
})();
await Promise.all([...uses, watch]);
console.log(`${actors} actors ran ${statements} statements in ${minutes} minutes`);
// The engine has as many workers as databases wait at once, at most 256: their number follows the load. Idle ones end.
judge(`${actors} actors`, samples, "client threads");
const peak = Math.max(...samples.map(({ client }) => client.threads));
const before = samples[0].client.threads;
for (const end = Date.now() + 60_000; held(process.pid).threads > before + leftThreads && Date.now() < end; )
  await later(200);
const left = held(process.pid).threads;
console.log(`${actors} actors: client threads: ${before} at first, ${peak} at most, ${left} when idle`);
assert.ok(left <= before + leftThreads, `${before} threads of the client became ${left}, though nothing is in use`);
await channel.close();
await server.stop();
process.exit(0);
