// Worker threads come and go at any moment, each an environment of its own.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { Worker } from "node:worker_threads";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";
import { runModule } from "../support/child.mjs";
import { frames, startProxy } from "../support/proxy.mjs";

const token = "secret-of-this-test";
const s = serve({ token });

// Starts a worker that has opened workerData.actor as db and runs body; what body posts are its messages.
function startWorker(body, workerData) {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    (async () => {
      const { connect } = await import("pagewire");
      const channel = await connect({ url: workerData.url, token: "${token}" });
      const open = (options) => channel.open(workerData.actor, options);
      ${body}
    })().catch((error) => parentPort.postMessage({ code: error.code, message: error.message }));`;
  return new Worker(source, { eval: true, workerData: { url: s.server.url, ...workerData } });
}

const long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e12) SELECT count(*) FROM n";

// What a worker is doing when it is terminated. Each says "busy" once that is under way.
const work = {
  "a long query": `
    const db = await open({ mode: "takeover" });
    db.all("${long}");
    parentPort.postMessage("busy");`,
  "an insert in flight": `
    const db = await open({ mode: "takeover" });
    await db.exec("CREATE TABLE IF NOT EXISTS t (v)");
    parentPort.postMessage("busy");
    for (let i = 0; ; i++) await Promise.all([...Array(8)].map(() => db.run("INSERT INTO t VALUES (?)", [i])));`,
  "a cold read in flight": `
    const db = await open({ mode: "takeover", preload: 0 });
    parentPort.postMessage("opened");
    await new Promise((resolve) => parentPort.once("message", resolve));
    await db.all("SELECT * FROM stored");`,
  "a transaction that is open": `
    const db = await open({ mode: "takeover" });
    await db.transaction(async (tx) => {
      await tx.run("CREATE TABLE IF NOT EXISTS u (v)");
      parentPort.postMessage("busy");
      for (;;) await tx.run("INSERT INTO u VALUES (1)");
    });`,
  "a batch that is packed": `
    const db = await open({ mode: "takeover" });
    await db.exec("CREATE TABLE IF NOT EXISTS w (v)");
    const items = Array.from({ length: 1000 }, (_, i) => ["INSERT INTO w VALUES (?)", [i]]);
    Object.defineProperty(items[900][1], 0, { get() { parentPort.postMessage("busy"); for (;;); } });
    await db.batch(items);`,
};

async function terminateAmid(t, kind, actor) {
  const cold = kind === "a cold read in flight";
  const proxy = cold ? await startProxy(t, s.server.url) : undefined;
  const worker = startWorker(work[kind], { actor, url: (proxy ?? s.server).url });
  const [message] = await once(worker, "message");
  assert.equal(message, cold ? "opened" : "busy");
  if (cold) {
    proxy.hold();
    const asked = proxy.next(frames.request);
    worker.postMessage("read");
    await asked;
  }
  assert.equal(await worker.terminate(), 1);
  proxy?.close();
}

// PAGEWIRE_WORKERS=1000 for the whole of it.
const many = Number(process.env.PAGEWIRE_WORKERS || 200);

test(`${many} workers are terminated amid their work, and everything can be opened anew (I3)`, async (t) => {
  const mine = await s.open(t);
  await mine.exec("CREATE TABLE t (v); INSERT INTO t VALUES (1)");
  const lanes = ["lane-0", "lane-1", "lane-2"];
  for (const actor of lanes) {
    const db = await s.channel.open(actor);
    await db.exec("CREATE TABLE stored (v); INSERT INTO stored VALUES (randomblob(100000))");
    await db.close();
  }
  const kinds = Object.keys(work);
  let begun = 0;
  await Promise.all(
    lanes.map(async (actor) => {
      while (begun < many) await terminateAmid(t, kinds[begun++ % kinds.length], actor);
    }),
  );
  assert.deepEqual(await mine.get("SELECT v FROM t"), { v: 1 });
  assert.equal((await mine.run("INSERT INTO t VALUES (2)")).changes, 1);
  for (const actor of lanes) {
    const taken = await s.channel.open(actor, { mode: "takeover" });
    assert.deepEqual(await taken.get("PRAGMA integrity_check"), { integrity_check: "ok" });
    assert.deepEqual(await taken.get("SELECT length(v) AS n FROM stored"), { n: 100_000 });
    await taken.exec("CREATE TABLE IF NOT EXISTS w (v)");
    assert.deepEqual(await taken.get("SELECT count(*) AS n FROM w"), { n: 0 });
    await taken.close();
    await (await s.channel.open(actor, { mode: "fail" })).close();
  }
});

test("workers of a program that does not load Pagewire itself are terminated amid their work", async () => {
  // Node.js unloads an addon with its last environment, while our threads are about to call it.
  const program = runModule(
    `import { once } from "node:events";
     import { Worker } from "node:worker_threads";
     const [, url, actor] = process.argv;
     for (let i = 0; i < 8; i++) {
       const worker = new Worker(\`
         import { parentPort, workerData } from "node:worker_threads";
         const { connect } = await import("pagewire");
         const channel = await connect({ url: workerData.url, token: "${token}" });
         const db = await channel.open(workerData.actor, { mode: "takeover" });
         await db.exec("CREATE TABLE IF NOT EXISTS t (v)");
         parentPort.postMessage("busy");
         for (;;) await Promise.all([...Array(8)].map(() => db.run("INSERT INTO t VALUES (randomblob(5000))")));
       \`, { eval: true, workerData: { url, actor } });
       await once(worker, "message");
       await worker.terminate();
     }
     console.log("done");`,
    s.server.url,
    "unloaded",
  );
  const { code, signal, stdout, stderr } = await program.end;
  assert.deepEqual([code, signal, stdout, stderr], [0, null, "done\n", ""]);
});

test("an actor that a terminated worker held is free once its connection is closed", async (t) => {
  const worker = startWorker(work["an insert in flight"], { actor: "held" });
  await once(worker, "message");
  await assert.rejects(s.channel.open("held"), { code: "actor_locked" });
  await worker.terminate();
  const db = await s.channel.open("held", { mode: "wait", waitMs: 20_000 });
  await db.close();
  await (await s.channel.open("held", { mode: "fail" })).close();
  t.diagnostic("no takeover was needed");
});

const answering = `
  const db = await open();
  await db.exec("CREATE TABLE t (v)");
  parentPort.on("message", async (v) => {
    if (v === "close") return parentPort.close(await channel.close());
    await db.run("INSERT INTO t VALUES (?)", [v]);
    parentPort.postMessage((await db.all("SELECT v FROM t", [], { rowMode: "array" })).flat());
  });
  parentPort.postMessage("ready");`;

test("environments work side by side, each with its actors, which no other can open", async (t) => {
  const mine = await s.open(t);
  await mine.exec("CREATE TABLE t (v)");
  const workers = ["left", "right"].map((actor) => startWorker(answering, { actor }));
  await Promise.all(workers.map((worker) => once(worker, "message")));
  for (let i = 1; i <= 20; i++) {
    const answers = workers.map((worker) => once(worker, "message"));
    workers.forEach((worker, w) => {
      worker.postMessage(i * 10 + w);
    });
    await mine.run("INSERT INTO t VALUES (?)", [i]);
    const expected = (w) => Array.from({ length: i }, (_, k) => (k + 1) * 10 + w);
    assert.deepEqual(
      (await Promise.all(answers)).map(([rows]) => rows),
      [expected(0), expected(1)],
    );
  }
  assert.deepEqual(await mine.get("SELECT count(*) AS n, sum(v) AS sum FROM t"), { n: 20, sum: 210 });

  await assert.rejects(s.channel.open("left"), { code: "actor_locked" });
  const rival = startWorker(`await open();`, { actor: "right" });
  assert.equal((await once(rival, "message"))[0].code, "actor_locked");
  const ofMain = startWorker(`await open();`, { actor: mine.actor });
  assert.equal((await once(ofMain, "message"))[0].code, "actor_locked");

  for (const worker of workers) {
    const ended = once(worker, "exit");
    worker.postMessage("close");
    assert.deepEqual(await ended, [0]);
  }
  await (await s.channel.open("left")).close();
});

test("a worker with an open, idle database ends by itself, and process.exit() in one ends it alone", async (t) => {
  const mine = await s.open(t);
  const idle = startWorker(`const db = await open(); await db.exec("CREATE TABLE t (v)");`, { actor: "idle" });
  assert.deepEqual(await once(idle, "exit"), [0]);
  const exiting = startWorker(
    `const db = await open(); await db.exec("CREATE TABLE t (v)");
     for (let i = 0; i < 50; i++) db.run("INSERT INTO t VALUES (?)", [i]);
     process.exit(7);`,
    { actor: "exiting" },
  );
  assert.deepEqual(await once(exiting, "exit"), [7]);
  assert.deepEqual(await mine.get("SELECT 1 AS one"), { one: 1 });
});

test("a worker that fails leaves its error to its parent, and the channel of the parent alone", async (t) => {
  const mine = await s.open(t);
  const failing = startWorker(
    `const db = await open(); db.all("${long}"); setImmediate(() => { throw new Error("of the worker"); });`,
    { actor: "failing" },
  );
  const [error] = await once(failing, "error");
  assert.equal(error.message, "of the worker");
  assert.deepEqual(await mine.get("SELECT 1 AS one"), { one: 1 });
  const other = await connect({ url: s.server.url, token });
  await (await other.open("failing", { mode: "takeover" })).close();
  await other.close();
});
