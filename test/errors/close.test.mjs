// Databases and channels are closed amid everything: what was called before is answered, and what comes later refused.

import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";
import { frames, startProxy } from "../support/proxy.mjs";

const token = "secret-of-this-test";
const s = serve({ token });
const long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e12) SELECT count(*) FROM n";
const refused =
  /^(done|closed|channel_closed|aborted|timeout|transaction_closed|transaction_lost|commit_indeterminate)$/;

// How a promise ended: "done", or the code of its error.
const outcome = (promise) =>
  promise.then(
    () => "done",
    (error) => error.code ?? assert.fail(error),
  );

test("everything is refused after close(), each with the reason", async (t) => {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v)");
  const statement = db.prepare("SELECT * FROM t");
  const rows = db.iterate("SELECT 1");
  const transaction = db.transaction.bind(db);
  await db.close();
  await db.close();
  db.closeSync();
  assert.equal(db.isOpen, false);
  const calls = {
    exec: () => db.exec("SELECT 1"),
    run: () => db.run("INSERT INTO t VALUES (1)"),
    get: () => db.get("SELECT 1"),
    all: () => db.all("SELECT 1"),
    batch: () => db.batch(["SELECT 1"]),
    transaction: () => transaction((tx) => tx.run("SELECT 1")),
    iterate: () => rows.next(),
    statement: () => statement.all(),
    execSync: async () => db.execSync("SELECT 1"),
    getSync: async () => db.getSync("SELECT 1"),
    batchSync: async () => db.batchSync(["SELECT 1"]),
    transactionSync: async () => db.transactionSync(() => {}),
    statementSync: async () => statement.allSync(),
    prepare: async () => db.prepare("SELECT 1"),
  };
  for (const [name, call] of Object.entries(calls)) {
    await assert.rejects(call, { name: "PagewireError", code: "closed", message: /the database is closed/ }, name);
  }
});

test("a closed channel refuses its own calls and those of its databases", async () => {
  const channel = await connect({ url: s.server.url, token });
  const db = await channel.open("of-a-closed-channel");
  const kv = channel.kv("kv-of-a-closed-channel");
  await kv.open();
  await channel.close();
  await channel.close();
  channel.closeSync();
  const closed = { name: "PagewireError", code: "channel_closed" };
  await assert.rejects(channel.open("x"), closed);
  await assert.rejects(channel.metrics(), closed);
  assert.throws(() => channel.openSync("x"), closed);
  assert.throws(() => channel.kv("x"), closed);
  await assert.rejects(db.get("SELECT 1"), closed);
  assert.throws(() => db.getSync("SELECT 1"), closed);
  await assert.rejects(kv.get("k"), { code: /^(closed|channel_closed)$/ });
  const again = await s.channel.open("of-a-closed-channel", { mode: "wait" });
  await again.close();
});

test("a close that is refused has closed nothing, and can be made again", async () => {
  const channel = await connect({ url: s.server.url, token });
  const db = await channel.open("closed-at-the-second-try");
  const reason = new Error("enough");
  for (const it of [db, channel]) {
    await assert.rejects(it.close({ timeout: -1 }), { name: "TypeError", message: /timeout/ });
    await assert.rejects(it.close({ signal: AbortSignal.abort(reason) }), { code: "aborted", cause: reason });
    assert.deepEqual(await db.get("SELECT 1 AS one"), { one: 1 });
  }
  await db.close();
  await (await s.channel.open("closed-at-the-second-try")).close();
  await channel.close();
});

// Calls under way, as promises. `asks` says that one of them needs an answer of the server, which is held back.
const work = {
  nothing: { begin: () => [] },
  "writes in flight": {
    begin: (db) => Array.from({ length: 50 }, (_, i) => db.run("INSERT INTO t VALUES (?)", [i])),
  },
  "a batch": { begin: (db) => [db.batch(Array(50).fill("INSERT INTO t VALUES (1)"))] },
  "a transaction and calls behind it": {
    begin: (db) => [
      db.transaction(async (tx) => {
        for (let i = 0; i < 20; i++) await tx.run("INSERT INTO t VALUES (?)", [i]);
      }),
      db.run("INSERT INTO t VALUES (1)"),
      db.transaction((tx) => tx.run("INSERT INTO t VALUES (2)")),
    ],
  },
  "a transaction that never ends": { begin: (db) => [db.transaction((tx) => endless(tx))], endless: true },
  "iterations amid their rows": {
    begin: async (db) => {
      const rows = db.iterate("SELECT v FROM big");
      await rows.next();
      return [drain(rows), drain(db.iterate("SELECT v FROM big"))];
    },
  },
  "a long query and calls behind it": {
    begin: (db) => [db.all(long), db.run("INSERT INTO t VALUES (1)"), db.get("SELECT 1")],
    endless: true,
  },
  "a cold read that is not answered": { begin: (db) => [db.all("SELECT v FROM big")], endless: true, asks: true },
  "a write that is not answered": { begin: (db) => [db.run("INSERT INTO t VALUES (1)")], endless: true, asks: true },
};

async function endless(tx) {
  for (;;) await tx.run("INSERT INTO t VALUES (1)");
}

async function drain(rows) {
  for await (const _ of rows);
}

// Ways to close, with a limit in milliseconds.
const ways = {
  "close()": (db) => db.close(),
  "close({ timeout })": (db, limit) => db.close({ timeout: limit }),
  "close({ signal })": (db, limit) => db.close({ signal: AbortSignal.timeout(limit) }),
  "closing the channel, { signal }": (db, limit) => db.channel.close({ signal: AbortSignal.timeout(limit) }),
  "closing the channel": (db, limit) => db.channel.close({ timeout: limit }),
};

for (const [what, { begin, endless, asks }] of Object.entries(work)) {
  test(`close amid ${what} (I2, I3)`, async (t) => {
    for (const [how, close] of Object.entries(ways)) {
      if (endless && how === "close()") continue; // waits for it, as it should
      const actor = `${what}, ${how}`;
      const prepared = await s.channel.open(actor);
      await prepared.exec(`CREATE TABLE t (v); CREATE TABLE big (v);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
          INSERT INTO big SELECT randomblob(500) FROM n`);
      await prepared.close();
      const proxy = asks ? await startProxy(t, s.server.url) : undefined;
      const channel = await connect({ url: (proxy ?? s.server).url, token });
      const db = await channel.open(actor, { preload: 0 });
      if (!what.includes("cold")) await db.all("SELECT * FROM t");
      proxy?.hold();
      const asked = proxy?.next(frames.request);
      const calls = (await begin(db)).map(outcome);
      await asked;
      const closed = await outcome(close(db, endless ? 100 : 20_000));
      assert.match(closed, endless ? refused : /^done$/, how);
      proxy?.release();
      const codes = await Promise.all(calls);
      for (const code of codes) assert.match(code, refused, how);
      await assert.rejects(db.get("SELECT 1"), { code: /^(closed|channel_closed)$/ });
      const acknowledged = what === "writes in flight" ? codes.filter((code) => code === "done").length : 0;
      await channel.close().catch(() => {});
      const again = await s.channel.open(actor, { mode: "wait", waitMs: 20_000 });
      assert.deepEqual(await again.get("PRAGMA integrity_check"), { integrity_check: "ok" }, how);
      const { n } = await again.get("SELECT count(*) AS n FROM t");
      assert.ok(n >= acknowledged, `${how}: ${n} rows of ${acknowledged} acknowledged ones`);
      if (how === "close()" && what === "writes in flight")
        assert.equal(n, 50, "close() waits for what was called before");
      await again.close();
    }
  });
}
