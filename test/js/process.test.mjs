// How Pagewire lives in processes and worker threads, and what happens when servers go away.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { Worker } from "node:worker_threads";
import { connect } from "pagewire";
import { startServer } from "pagewire/server";
import { serve } from "./harness.mjs";

const s = serve({ token: "secret-of-this-test" });

// Runs a module in a child process and returns how it ended.
function child(source, ...args) {
  return spawnSync(process.execPath, [...args, "--input-type=module", "-e", source, s.server.url], {
    encoding: "utf8",
    timeout: 20_000,
  });
}

const opening = `
  import { connect } from "pagewire";
  const channel = await connect({ url: process.argv[1], token: "secret-of-this-test" });
  const db = await channel.open("of-" + process.pid);
  await db.exec("CREATE TABLE t (v)");`;

test("a program ends by itself with an open, idle database", () => {
  const { status, stderr, signal } = child(opening);
  assert.deepEqual([status, stderr, signal], [0, "", null]);
});

test("a program does not end while a call is under way", () => {
  const { stdout } = child(`${opening} db.run("INSERT INTO t VALUES (1)").then(() => console.log("done"));`);
  assert.equal(stdout, "done\n");
});

test("a rejection that the caller handles is not reported again as unhandled", () => {
  const { status, stderr } = child(`${opening}
    db.run("nonsense").catch(() => {});
    await db.transaction(() => { throw new Error("x"); }).catch(() => {});
    for await (const row of db.iterate("SELECT 1")) break;
    await channel.close();
    await db.get("SELECT 1").catch((e) => { if (e.code !== "channel_closed") throw e; });`);
  assert.deepEqual([status, stderr], [0, ""]);
});

test("what a listener throws is an uncaught exception, and the next events are delivered all the same", () => {
  const { status, stdout, stderr } = child(`${opening}
    process.on("uncaughtException", (error) => console.log(error.message));
    channel.on("lockLost", () => { throw new Error("from a listener"); });
    const awake = setTimeout(() => {}, 15_000); // an idle database does not keep the process
    const other = await connect({ url: process.argv[1], token: "secret-of-this-test" });
    for (const actor of [db.actor, "second-" + process.pid]) {
      const mine = actor === db.actor ? db : await channel.open(actor);
      const thrown = new Promise((resolve) => process.once("uncaughtException", resolve));
      await other.open(actor, { mode: "takeover" });
      await thrown;
    }
    clearTimeout(awake);
    await Promise.all([channel.close(), other.close()]);`);
  assert.deepEqual([status, stdout, stderr], [0, "from a listener\n".repeat(2), ""]);
});

test("a wrong token is refused, and never repeated in the error", async () => {
  const error = await connect({ url: s.server.url, token: "wrong-one" }).catch((e) => e);
  assert.equal(error.code, "unauthorized");
  assert.doesNotMatch(error.message, /wrong-one/);
  await assert.rejects(connect({ url: `${s.server.url}/?token=x` }), { name: "PagewireError" });
});

test("connecting can be aborted at once, and times out", async (t) => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  t.after(() => silent.close());
  const url = `ws://127.0.0.1:${silent.address().port}`;
  const reason = new Error("enough");
  const controller = new AbortController();
  const connecting = connect({ url, signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(connecting, { name: "PagewireError", code: "aborted", cause: reason });
  await assert.rejects(connect({ url, signal: AbortSignal.abort(reason) }), { code: "aborted", cause: reason });
  await assert.rejects(connect({ url, timeout: 20 }), { code: "timeout" });
});

const inWorker = `
  const { parentPort, workerData } = require("node:worker_threads");
  (async () => {
    const { connect } = await import("pagewire");
    const channel = await connect({ url: workerData.url, token: "secret-of-this-test" });
    const db = await channel.open(workerData.actor, { mode: "takeover" });
    await db.exec("CREATE TABLE IF NOT EXISTS t (v)");
    parentPort.postMessage("ready");
    const long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e9) SELECT count(*) FROM n";
    if (workerData.busy) {
      for (;;) await Promise.all([...Array(20)].map((_, i) => db.run("INSERT INTO t VALUES (?)", [i])));
    }
    await db.all(long);
  })();`;

test("worker threads are terminated with work in flight, again and again", async () => {
  for (let i = 0; i < 10; i++) {
    const workerData = { url: s.server.url, actor: `worker-${i % 2}`, busy: i % 3 !== 0 };
    const worker = new Worker(inWorker, { eval: true, workerData });
    await once(worker, "message");
    await worker.terminate();
  }
  const channel = await connect({ url: s.server.url, token: "secret-of-this-test" });
  const db = await channel.open("worker-0", { mode: "takeover" });
  assert.deepEqual(await db.get("PRAGMA integrity_check"), { integrity_check: "ok" });
  await channel.close();
});

test("a takeover tells the evicted holder, whose calls then fail with lock_lost", async (t) => {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v)");
  const told = once(s.channel, "lockLost");
  const other = await connect({ url: s.server.url, token: "secret-of-this-test" });
  const taken = await other.open(db.actor, { mode: "takeover" });
  assert.ok(taken.generation > db.generation);
  const [event] = await told;
  assert.equal(event.actor, db.actor);
  await assert.rejects(db.run("INSERT INTO t VALUES (1)"), { code: "lock_lost" });
  assert.throws(() => db.getSync("SELECT 1"), { code: "lock_lost" });
  await taken.run("INSERT INTO t VALUES (2)");
  await other.close();
  await db.close().catch((e) => assert.equal(e.code, "lock_lost"));
});

test("open modes fail and wait", async (t) => {
  const db = await s.open(t);
  const other = await connect({ url: s.server.url, token: "secret-of-this-test" });
  t.after(() => other.close());
  await assert.rejects(other.open(db.actor), { code: "actor_locked" });
  await assert.rejects(other.open(db.actor, { mode: "wait", waitMs: 20 }), { code: "actor_locked" });
  const waiting = other.open(db.actor, { mode: "wait", waitMs: 60_000 });
  await db.close();
  await (await waiting).close();
  // A wait that is given up does not take the actor when its turn comes.
  const again = await s.channel.open(db.actor);
  await assert.rejects(other.open(db.actor, { mode: "wait", waitMs: 60_000, timeout: 20 }), { code: "timeout" });
  await again.close();
  await (await s.channel.open(db.actor, { mode: "wait" })).close();
});

test("a server that comes back is reconnected to, and the database goes on (I4)", async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), "pagewire-test-"));
  t.after(() => rm(dataDir, { recursive: true }));
  const first = await startServer({ dataDir });
  const channel = await connect({ url: first.url, backoff: { min: 5, max: 20 } });
  const db = await channel.open("a");
  await db.exec("CREATE TABLE t (v)");
  const events = [];
  channel.on("disconnect", () => events.push("disconnect"));
  const back = once(channel, "reconnect");
  await first.stop();
  const written = db.run("INSERT INTO t VALUES (1)"); // nobody is there to take it yet
  const second = await startServer({ dataDir, port: Number(new URL(first.url).port) });
  const [{ attempt }] = await back;
  assert.ok(attempt >= 1);
  assert.deepEqual(events, ["disconnect"]);
  assert.equal((await written).changes, 1);
  assert.deepEqual(await db.all("SELECT v FROM t"), [{ v: 1 }]);
  await channel.close();
  await second.stop();
});

test("a server that ends is told of by disconnect", async () => {
  const server = await startServer();
  const channel = await connect({ url: server.url });
  const disconnected = once(channel, "disconnect");
  await server.stop();
  const [event] = await disconnected;
  assert.equal(typeof event.message, "string");
  await channel.close();
});

test("a server that cannot start says why", async () => {
  const failing = startServer({ command: process.execPath, args: [] });
  await assert.rejects(failing, { code: "server_failed", message: /the server ended with code \d+:\n/ });
  await assert.rejects(startServer({ command: "/nonexistent" }), { code: "server_failed", message: /missing/ });
  assert.ok(!existsSync("/nonexistent"));
});
