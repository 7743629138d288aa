// A server with small limits: what is over them is refused with its own code, and work goes on.

import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";

const token = "secret-of-this-test";
const limits = {
  "--max-actor-bytes": "1MiB",
  "--max-commit-bytes": "512KiB",
  "--max-connection-actors": "3",
  "--max-key-bytes": "64",
  "--max-value-bytes": "1KiB",
  "--max-batch-keys": "4",
  "--max-put-bytes": "2KiB",
};
const s = serve({ token, args: Object.entries(limits).flat() });
const insert = "INSERT INTO t (v) VALUES (randomblob(?))";

async function table(t) {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
  await db.run("INSERT INTO t VALUES (1, 'kept')");
  return db;
}

async function intact(db, rows) {
  assert.deepEqual(await db.get("SELECT count(*) AS n FROM t"), { n: rows });
  assert.deepEqual(await db.get("SELECT v FROM t WHERE id = 1"), { v: "kept" });
  assert.deepEqual(await db.get("PRAGMA integrity_check"), { integrity_check: "ok" });
}

test("the limits are announced", () => {
  const { actorBytes, commitBytes, connectionActors, keyBytes } = s.channel.limits;
  assert.deepEqual([actorBytes, commitBytes, connectionActors, keyBytes], [2 ** 20, 2 ** 19, 3, 64]);
});

test("a row, a statement, a batch or a transaction over the commit's limit fails alone (I6)", async (t) => {
  const db = await table(t);
  const over = { name: "PagewireError", code: "payload_too_large", message: /\d/ };
  await assert.rejects(db.run(insert, [600_000]), over);
  await assert.rejects(
    db.batch([
      [insert, [300_000]],
      [insert, [300_000]],
    ]),
    over,
  );
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.run(insert, [300_000]);
      await tx.run(insert, [300_000]);
    }),
    over,
  );
  assert.throws(() => db.runSync(insert, [600_000]), over);
  await intact(db, 1);
  await db.run(insert, [300_000]);
  await intact(db, 2);
});

test("a full actor refuses what grows it, and goes on: reading, deleting, and writing again (I6)", async (t) => {
  const db = await table(t);
  let rows = 1;
  let error;
  while (error === undefined) {
    try {
      await db.run(insert, [100_000]);
      rows++;
    } catch (e) {
      error = e;
    }
    assert.ok(rows < 20, "the quota was never reached");
  }
  assert.equal(error.code, "storage_quota_exceeded");
  assert.match(error.message, /quota|bytes/);
  await intact(db, rows);
  await assert.rejects(db.batch(Array(5).fill([insert, [90_000]])), { code: "storage_quota_exceeded" });
  assert.throws(() => db.runSync(insert, [400_000]), { code: "storage_quota_exceeded" });
  await intact(db, rows);
  // Concurrent statements: those behind a refused commit are told, and nothing half is left.
  const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => db.run(insert, [80_000])));
  const kept = outcomes.filter(({ status }) => status === "fulfilled").length;
  for (const { reason } of outcomes) if (reason) assert.equal(reason.code, "storage_quota_exceeded", reason.message);
  rows += kept;
  await intact(db, rows);
  await db.run("DELETE FROM t WHERE id > 1");
  await db.run(insert, [100_000]);
  await intact(db, 2);
});

// TestI6StatementAmidWhichACommitIsRefusedIsUndone has it so for certain; here the refusal may come before the next begins.
test("what runs while the server refuses an earlier commit is done whole or not at all, and the next one works (I6)", async (t) => {
  const db = await table(t);
  await db.run(insert, [400_000]);
  await db.run(insert, [400_000]);
  const slow = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
    INSERT INTO t (v) SELECT sum(i) FROM n`;
  const [refused, ...others] = await Promise.allSettled([
    db.run(insert, [400_000]), // over the quota
    db.run(slow),
    db.run("UPDATE t SET v = 'kept' WHERE id = 1"),
    db.get("SELECT count(*) AS n FROM t"),
  ]);
  assert.equal(refused.reason?.code, "storage_quota_exceeded");
  for (const { reason } of others) if (reason) assert.equal(reason.code, "storage_quota_exceeded", reason.message);
  await intact(db, others[0].status === "fulfilled" ? 4 : 3);
  await db.run("DELETE FROM t WHERE id > 1");
  await db.run(insert, [100_000]);
  await intact(db, 2);
});

test("one actor too many on a connection is refused, until another is closed", async () => {
  const channel = await connect({ url: s.server.url, token });
  const open = [];
  for (const actor of ["one", "two", "three"]) open.push(await channel.open(actor));
  await assert.rejects(channel.open("four"), { name: "PagewireError", code: "too_many_actors", message: /3/ });
  await open.pop().close();
  await (await channel.open("four")).close();
  assert.deepEqual(await open[0].get("SELECT 1 AS one"), { one: 1 });
  await channel.close();
});

test("actor ids that cannot be are refused before they reach a key", async () => {
  for (const actor of ["", "a\0b", "line\nbreak", "\u007f", "x".repeat(5000), "\ud800"]) {
    const error = await s.channel.open(actor).then(
      (db) => db.close().then(() => assert.fail(`${JSON.stringify(actor.slice(0, 9))} was opened`)),
      (e) => e,
    );
    assert.equal(error.code, "invalid_actor", `${JSON.stringify(actor.slice(0, 9))}: ${error.message}`);
    assert.ok(error.message.length < 400, "the whole id is in the message");
    await assert.rejects(async () => s.channel.kv(actor).open(), { code: "invalid_actor" });
  }
  for (const actor of ["ä€😀", "../../etc", "a/b:c d", "x".repeat(200)]) await (await s.channel.open(actor)).close();
});

test("keys and values over the limits have a code each (I6)", async () => {
  const kv = s.channel.kv("kv-limits");
  await kv.open();
  await kv.put([["kept", "1"]]);
  const big = new Uint8Array(1025);
  await assert.rejects(kv.put([["k".repeat(65), "v"]]), { code: "key_too_large" });
  await assert.rejects(kv.get("k".repeat(65)), { code: "key_too_large" });
  await assert.rejects(kv.put([["k", big]]), { code: "value_too_large" });
  await assert.rejects(kv.put(["a", "b", "c", "d", "e"].map((k) => [k, "v"])), { code: "batch_too_large" });
  const three = ["a", "b", "c"].map((k) => [k, new Uint8Array(1000)]);
  await assert.rejects(kv.put(three), { code: "payload_too_large" });
  await assert.rejects(kv.put([["k", 7]]), { name: "TypeError", message: /value/ });
  assert.deepEqual(Buffer.from(await kv.get("kept")).toString(), "1");
  assert.equal((await kv.list()).entries.length, 1);
  await kv.close();
  await assert.rejects(kv.get("kept"), { code: "closed" });
  await assert.rejects(s.channel.kv("never-opened").get("k"), { code: "actor_not_open" });
});
