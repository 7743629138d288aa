// Calls that are given up: before they begin, while they wait, amid a query, amid a fetch, amid a commit.

import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";
import { frames, startProxy } from "../support/proxy.mjs";

const token = "secret-of-this-test";
const s = serve({ token });
const long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e12) SELECT count(*) FROM n";
const reason = new Error("enough");
const aborted = { name: "PagewireError", code: "aborted", cause: reason };
const timeout = { name: "PagewireError", code: "timeout" };

async function table(t) {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v); INSERT INTO t VALUES ('kept')");
  return db;
}

async function intact(db) {
  assert.deepEqual(await db.all("SELECT * FROM t"), [{ v: "kept" }]);
  await db.run("UPDATE t SET v = v");
}

// A signal that is aborted once what was called has begun, and that of a call.
function abortSoon() {
  const controller = new AbortController();
  setImmediate(() => setImmediate(() => controller.abort(reason)));
  return { signal: controller.signal };
}

test("a signal that is aborted already refuses every call before it begins", async (t) => {
  const db = await table(t);
  const options = { signal: AbortSignal.abort(reason) };
  const insert = "INSERT INTO t VALUES ('no')";
  const calls = [
    () => db.run(insert, [], options),
    () => db.exec(insert, options),
    () => db.get(insert, [], options),
    () => db.all(insert, [], options),
    () => db.batch([insert], options),
    () => db.prepare(insert).run([], options),
    () => db.iterate(insert, [], options).next(),
    () => db.transaction((tx) => tx.run(insert), options),
    async () => db.runSync(insert, [], options),
    async () => db.batchSync([insert], options),
    () => s.channel.open("never", options),
  ];
  for (const call of calls) await assert.rejects(call, aborted, String(call));
  await intact(db);
});

test("a call is given up while it waits in the queue or behind a transaction, and is never run", async (t) => {
  const db = await table(t);
  const controller = new AbortController();
  const running = db.all(long, [], { signal: controller.signal });
  const queued = db.run("INSERT INTO t VALUES ('no')", [], abortSoon());
  await assert.rejects(queued, aborted);
  await assert.rejects(db.run("INSERT INTO t VALUES ('no')", [], { timeout: 20 }), timeout);
  controller.abort(reason);
  await assert.rejects(running, aborted);
  await db.transaction(async (tx) => {
    // Calls on the database itself, made outside the callback, wait for it.
    const outside = new Promise((resolve) => setImmediate(resolve));
    await outside;
    await tx.run("UPDATE t SET v = v");
  });
  let release;
  const held = db.transaction(() => new Promise((resolve) => (release = resolve)));
  await assert.rejects(db.run("INSERT INTO t VALUES ('no')", [], abortSoon()), aborted);
  await assert.rejects(db.get("SELECT 1", [], { timeout: 20 }), timeout);
  await assert.rejects(
    db.transaction(() => assert.fail("was run"), { timeout: 20 }),
    timeout,
  );
  release();
  await held;
  await intact(db);
});

test("long queries and writes are ended by signal and by timeout, and nothing of them stays", async (t) => {
  const db = await table(t);
  const longWrite = `INSERT INTO t ${long}`;
  for (const sql of [long, longWrite]) {
    await assert.rejects(db.all(sql, [], abortSoon()), aborted);
    await assert.rejects(db.all(sql, [], { timeout: 30 }), timeout);
    await assert.rejects(db.batch(["INSERT INTO t VALUES ('no')", sql], abortSoon()), aborted);
    await assert.rejects(db.batch(["INSERT INTO t VALUES ('no')", sql], { timeout: 30 }), timeout);
    await assert.rejects(db.exec(`INSERT INTO t SELECT 'no' WHERE 0; ${sql}`, abortSoon()), aborted);
    assert.throws(() => db.allSync(sql, [], { timeout: 30 }), timeout);
    const rows = db.iterate(sql, [], abortSoon());
    await assert.rejects(rows.next(), aborted);
    await intact(db);
  }
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.run("INSERT INTO t VALUES ('no')");
      await tx.all(long, [], { timeout: 30 });
    }),
    timeout,
  );
  await intact(db);
});

test("a callTimeout given to open() holds for every call, and one of its own wins", async (t) => {
  const db = await s.open(t, { callTimeout: 30 });
  await assert.rejects(db.all(long), timeout);
  const begin = performance.now();
  await assert.rejects(db.all(long, [], { timeout: 300 }), timeout);
  assert.ok(performance.now() - begin >= 290);
});

test("cold reads that are not answered are ended, and read again later", async (t) => {
  const prepared = await s.channel.open("cold");
  await prepared.exec("CREATE TABLE t (v); INSERT INTO t VALUES ('kept')");
  await prepared.close();
  const proxy = await startProxy(t, s.server.url);
  const channel = await connect({ url: proxy.url, token });
  t.after(() => channel.close());
  const ends = [
    (db, controller) => [db.all("SELECT * FROM t", [], { signal: controller.signal }), aborted],
    (db) => [db.all("SELECT * FROM t", [], { timeout: 50 }), timeout],
    (db, controller) => [db.iterate("SELECT * FROM t", [], { signal: controller.signal }).next(), aborted],
    (db) => [db.batch(["SELECT * FROM t", "INSERT INTO t VALUES ('no')"], { timeout: 50 }), timeout],
  ];
  for (const end of ends) {
    const db = await channel.open("cold", { preload: 0 });
    const controller = new AbortController();
    proxy.hold();
    const asked = proxy.next(frames.request);
    const [call, expected] = end(db, controller);
    const refused = assert.rejects(call, expected);
    await asked;
    controller.abort(reason);
    await refused;
    proxy.release();
    await intact(db);
    await db.close();
  }
});

test("a write whose answer is given up says that it may be durable, and the database goes on (I4)", async (t) => {
  const proxy = await startProxy(t, s.server.url);
  const channel = await connect({ url: proxy.url, token });
  t.after(() => channel.close());
  const db = await channel.open("given-up");
  await db.exec("CREATE TABLE t (v)");
  proxy.hold();
  const asked = proxy.next(frames.request);
  const controller = new AbortController();
  const write = assert.rejects(db.run("INSERT INTO t VALUES (1)", [], { signal: controller.signal }), (error) => {
    assert.match(error.code, /^(aborted|commit_indeterminate)$/);
    assert.match(error.message, /may/, "the message does not say that it may be durable");
    return true;
  });
  await asked;
  controller.abort(reason);
  await write;
  proxy.release();
  assert.deepEqual(await db.get("SELECT count(*) AS n FROM t"), { n: 1 });
  await db.close();
});

test("an open that is given up leaves the actor free", async (t) => {
  const proxy = await startProxy(t, s.server.url);
  const channel = await connect({ url: proxy.url, token });
  t.after(() => channel.close());
  proxy.hold();
  const asked = proxy.next(frames.request);
  const controller = new AbortController();
  const opening = assert.rejects(channel.open("not-wanted", { signal: controller.signal }), aborted);
  await asked;
  controller.abort(reason);
  await opening;
  proxy.release();
  await (await s.channel.open("not-wanted", { mode: "wait", waitMs: 20_000 })).close();
});

test("a transaction given up before it could begin leaves none open: later writes are durable (I2, I5)", async (t) => {
  const proxy = await startProxy(t, s.server.url);
  const channel = await connect({ url: proxy.url, token });
  t.after(() => channel.close({ timeout: 1000 }).catch(() => {}));
  const db = await channel.open("begin-given-up");
  await db.exec("CREATE TABLE t (v)");
  proxy.hold();
  const sent = proxy.next(frames.request);
  const before = db.run("INSERT INTO t VALUES ('before')"); // BEGIN runs while this is not acknowledged yet
  await sent;
  for (const limits of [{ signal: AbortSignal.timeout(30) }, { timeout: 30 }]) {
    const given = db.transaction((tx) => tx.run("INSERT INTO t VALUES ('no')", [], limits), limits);
    await assert.rejects(given, (error) => /^(aborted|timeout)$/.test(error.code));
  }
  proxy.release();
  await before;
  await db.run("INSERT INTO t VALUES ('after')");
  await db.transaction((tx) => tx.run("INSERT INTO t VALUES ('again')"));
  const other = await s.channel.open("begin-given-up", { mode: "takeover" });
  t.after(() => other.close());
  assert.deepEqual(await other.all("SELECT v FROM t", [], { rowMode: "array" }), [["before"], ["after"], ["again"]]);
});

test("a synchronous call's timeout counts its wait in the queue and for the commit, and says which it was", async (t) => {
  const proxy = await startProxy(t, s.server.url);
  const channel = await connect({ url: proxy.url, token });
  t.after(() => channel.close({ timeout: 1000 }).catch(() => {}));
  const db = await channel.open("sync-timeout");
  await db.exec("CREATE TABLE t (v)");
  const controller = new AbortController();
  const running = db.all(long, [], { signal: controller.signal });
  assert.throws(() => db.runSync("INSERT INTO t VALUES ('no')", [], { timeout: 30 }), {
    code: "timeout",
    message: /timed out before its turn came; it did not run/,
  });
  controller.abort(reason);
  await assert.rejects(running, aborted);
  // This thread is the proxy's too, so while the call waits nothing passes.
  assert.throws(() => db.runSync("INSERT INTO t VALUES ('sent')", [], { timeout: 30 }), {
    code: "timeout",
    message: /timed out while its commit, or one before it, was on its way; the commit may still become durable/,
  });
  assert.deepEqual(await db.all("SELECT v FROM t"), [{ v: "sent" }]);
});
