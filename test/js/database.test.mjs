// What a database's calls do, in their asynchronous and synchronous forms.

import assert from "node:assert/strict";
import test from "node:test";
import { connect, PagewireError } from "pagewire";
import { serve } from "./harness.mjs";

const s = serve();
const table = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)";
const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n";

test("exec, run, get, all and their aliases", async (t) => {
  const db = await s.open(t);
  await db.exec(`${table}; INSERT INTO t (v) VALUES ('a'), ('b')`);
  assert.deepEqual(await db.run("INSERT INTO t (v) VALUES (?)", ["c"]), { changes: 1, lastInsertRowid: 3 });
  assert.deepEqual(await db.get("SELECT * FROM t WHERE id = ?", [3]), { id: 3, v: "c" });
  assert.equal(await db.get("SELECT * FROM t WHERE id = ?", [4]), undefined);
  assert.deepEqual(await db.all("SELECT v FROM t"), [{ v: "a" }, { v: "b" }, { v: "c" }]);
  assert.deepEqual(await db.query("SELECT count(*) AS n FROM t"), [{ n: 3 }]);
  assert.deepEqual(await db.execute("DELETE FROM t WHERE id > $id", { id: 1 }), { changes: 2, lastInsertRowid: 3 });
});

test("the same synchronously", async (t) => {
  const db = await s.open(t);
  db.execSync(`${table}; INSERT INTO t (v) VALUES ('a'), ('b')`);
  assert.deepEqual(db.runSync("INSERT INTO t (v) VALUES (?)", ["c"]), { changes: 1, lastInsertRowid: 3 });
  assert.deepEqual(db.getSync("SELECT * FROM t WHERE id = ?", [3]), { id: 3, v: "c" });
  assert.equal(db.getSync("SELECT * FROM t WHERE id = ?", [4]), undefined);
  assert.deepEqual(db.allSync("SELECT v FROM t"), [{ v: "a" }, { v: "b" }, { v: "c" }]);
  assert.deepEqual(db.querySync("SELECT count(*) AS n FROM t"), [{ n: 3 }]);
  assert.deepEqual(db.executeSync("DELETE FROM t WHERE id > 1"), { changes: 2, lastInsertRowid: 3 });
  assert.deepEqual(
    [...db.iterateSync(numbers, [5])].map((row) => row.i),
    [1, 2, 3, 4, 5],
  );
  const [first, second] = db.batchSync([["INSERT INTO t (v) VALUES (?)", ["x"]], "SELECT v FROM t WHERE id = 1"]);
  assert.equal(first.changes, 1);
  assert.deepEqual(second.rows, [{ v: "a" }]);
});

test("the column count decides whether there are rows, not the SQL text", async (t) => {
  const db = await s.open(t);
  await db.exec(table);
  for (const [sql, rows] of [
    ["INSERT INTO t (v) VALUES ('a') RETURNING id", [{ id: 1 }]],
    ["VALUES (7)", [{ column1: 7 }]],
    ["WITH x(a) AS (SELECT 1) SELECT a FROM x", [{ a: 1 }]],
    ["PRAGMA page_size", [{ page_size: 4096 }]],
    ["/* select */ UPDATE t SET v = 'b' RETURNING v", [{ v: "b" }]],
    ["SELECT 1 AS a WHERE 0", []],
  ]) {
    assert.deepEqual((await db.run(sql)).rows, rows, sql);
    await db.exec("DELETE FROM t WHERE id > 1");
  }
  assert.deepEqual(db.runSync("VALUES (7)").rows, [{ column1: 7 }]);
  assert.equal("rows" in (await db.run("UPDATE t SET v = NULL WHERE 0")), false);
});

test("a row that an insert of 2^60 made has a bigint rowid", async (t) => {
  const db = await s.open(t);
  await db.exec(table);
  const { lastInsertRowid } = await db.run("INSERT INTO t (id) VALUES (?)", [2n ** 60n]);
  assert.equal(lastInsertRowid, 2n ** 60n);
});

test("integers and rowMode by call and by database", async (t) => {
  const db = await s.open(t, { integers: "bigint", rowMode: "array" });
  assert.deepEqual(await db.all("SELECT 1, 2.5"), [[1n, 2.5]]);
  assert.deepEqual(await db.get("SELECT 1 AS a", [], { integers: "number", rowMode: "object" }), { a: 1 });
  await assert.rejects(db.get("SELECT 9007199254740993", [], { integers: "number" }), { code: "integer_out_of_range" });
  assert.deepEqual(await db.get("SELECT 9007199254740993", [], { integers: "mixed" }), [9007199254740993n]);
  await assert.rejects(db.get("SELECT 1", [], { integers: "all" }), TypeError);
});

test("prepared statements, and a schema that changes under them", async (t) => {
  const db = await s.open(t);
  await db.exec(table);
  const insert = db.prepare("INSERT INTO t (v) VALUES (?)");
  assert.equal((await insert.run(["a"])).lastInsertRowid, 1);
  assert.equal(insert.runSync(["b"]).lastInsertRowid, 2);
  const all = db.prepare("SELECT * FROM t WHERE id = ?");
  assert.deepEqual(await all.get([1]), { id: 1, v: "a" });
  await db.exec("ALTER TABLE t ADD COLUMN more DEFAULT 5");
  assert.deepEqual(all.getSync([1]), { id: 1, v: "a", more: 5 });
  assert.deepEqual(await Promise.all([all.all([1]), all.all([2])]), [
    [{ id: 1, v: "a", more: 5 }],
    [{ id: 2, v: "b", more: 5 }],
  ]);
  all.close();
  await assert.rejects(all.get([1]), { code: "closed" });
});

test("iterate streams in chunks, ends early, and goes on beside other calls", async (t) => {
  const db = await s.open(t);
  let sum = 0;
  for await (const { i } of db.iterate(numbers, [5000])) {
    sum += i;
    if (i % 1000 === 0) assert.deepEqual(await db.get("SELECT ? AS n", [i]), { n: i });
  }
  assert.equal(sum, (5000 * 5001) / 2);
  await db.exec(table);
  await db.exec("INSERT INTO t (v) SELECT value FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9]')");
  for await (const row of db.iterate("SELECT * FROM t")) {
    if (row.id === 3) break;
  }
  await db.exec("DROP TABLE t"); // a cursor left open would lock it
  const rows = db.iterate(numbers, [100]);
  const got = await Promise.all(Array.from({ length: 101 }, () => rows.next()));
  assert.deepEqual(
    got.map((r) => r.value?.i),
    [...Array.from({ length: 100 }, (_, i) => i + 1), undefined],
  );
  await assert.rejects(db.iterate("SELECT * FROM missing").next(), { code: "SQLITE_ERROR" });
});

test("a batch is atomic and says which statement failed", async (t) => {
  const db = await s.open(t);
  await db.exec(table);
  const results = await db.batch([
    ["INSERT INTO t (v) VALUES (?)", ["a"]],
    "SELECT v, \u20ac FROM (SELECT 'x' AS v, 'wide \u4e2d' AS \u20ac)",
  ]);
  assert.deepEqual(results, [
    { changes: 1, lastInsertRowid: 1 },
    { changes: 0, lastInsertRowid: 1, rows: [{ v: "x", "\u20ac": "wide \u4e2d" }] },
  ]);
  await assert.rejects(
    db.batch([
      ["INSERT INTO t (v) VALUES (?)", ["b"]],
      ["INSERT INTO t (v) VALUES (?)", ["a"]],
    ]),
    {
      code: "SQLITE_CONSTRAINT_UNIQUE",
      message: /statement 2/,
    },
  );
  assert.deepEqual(await db.all("SELECT v FROM t"), [{ v: "a" }]);
  assert.deepEqual(await db.batch([]), []);
  const many = await db.batch(Array.from({ length: 300 }, (_, i) => `INSERT INTO t (v) VALUES ('n${i}') RETURNING v`));
  assert.deepEqual(
    many.map((r) => r.rows[0].v),
    Array.from({ length: 300 }, (_, i) => `n${i}`),
  );
});

test("errors carry SQLite's codes, the place and the text", async (t) => {
  const db = await s.open(t);
  await db.exec(table);
  await db.run("INSERT INTO t (v) VALUES ('a')");
  for (const fails of [
    () => db.run("INSERT INTO t (v) VALUES ('a')"),
    async () => db.runSync("INSERT INTO t (v) VALUES ('a')"),
  ]) {
    await assert.rejects(fails, (error) => {
      assert.ok(error instanceof PagewireError);
      assert.equal(error.code, "SQLITE_CONSTRAINT_UNIQUE");
      assert.equal(error.sqliteCode, 2067);
      assert.equal(error.sqliteCodeName, "SQLITE_CONSTRAINT_UNIQUE");
      return true;
    });
  }
  await assert.rejects(db.all("SELECT '\u4e2d', nope"), (error) => {
    assert.equal(error.code, "SQLITE_ERROR");
    assert.equal(error.sql.slice(error.offset), "nope");
    return true;
  });
  await assert.rejects(db.run(42), TypeError);
});

test("aborting and timing out", async (t) => {
  const db = await s.open(t);
  const forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
  const reason = new Error("enough");
  const controller = new AbortController();
  const call = db.all(forever, [], { signal: controller.signal });
  const queued = db.all(forever, [], { signal: controller.signal });
  setImmediate(() => controller.abort(reason));
  const begun = db.get("SELECT 1", [], { signal: AbortSignal.abort(reason) });
  for (const { reason: error } of await Promise.allSettled([call, queued, begun])) {
    assert.ok(error instanceof PagewireError);
    assert.equal(error.code, "aborted");
    assert.equal(error.cause, reason);
  }
  await assert.rejects(db.all(forever, [], { timeout: 20 }), { code: "timeout" });
  assert.throws(() => db.getSync(forever, [], { timeout: 20 }), { code: "timeout" });
  await assert.rejects(db.get("SELECT 1", [], { timeout: -1 }), TypeError);
  assert.deepEqual(await db.get("SELECT 1 AS a"), { a: 1 });
});

test("the event loop runs while a long query does", async (t) => {
  const db = await s.open(t);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await db.all(`SELECT count(*) FROM (${numbers})`, [2_000_000]);
  clearInterval(timer);
  assert.ok(turns > 5, `${turns} turns`);
});

test("calls after close", async (t) => {
  const db = await s.open(t);
  await db.exec(table);
  const stmt = db.prepare("SELECT 1");
  const rows = db.iterate(numbers, [5000]);
  await rows.next();
  const pending = db.run("INSERT INTO t (v) VALUES ('last')");
  const closing = db.close();
  assert.equal(closing, db.close());
  await Promise.all([pending, closing]);
  const closed = { name: "PagewireError", code: "closed" };
  await assert.rejects(db.get("SELECT 1"), closed);
  await assert.rejects(db.exec("SELECT 1"), closed);
  await assert.rejects(db.batch(["SELECT 1"]), closed);
  await assert.rejects(
    db.transaction(() => {}),
    closed,
  );
  await assert.rejects(stmt.get(), closed);
  assert.throws(() => db.getSync("SELECT 1"), closed);
  assert.throws(() => db.prepare("SELECT 1"), closed);
  assert.throws(() => db.metrics(), closed);
  const again = await s.channel.open(db.actor);
  t.after(() => again.close());
  assert.deepEqual(await again.all("SELECT v FROM t"), [{ v: "last" }]);
});

test("a closed channel", async () => {
  const channel = await connect({ url: s.server.url });
  const db = await channel.open("of-a-closed-channel");
  await channel.close();
  const closed = { name: "PagewireError", code: "channel_closed" };
  await assert.rejects(db.get("SELECT 1"), closed);
  await assert.rejects(channel.open("x"), closed);
  await assert.rejects(channel.metrics(), closed);
  assert.throws(() => channel.kv("x"), closed);
});

test("a synchronous channel", async () => {
  const { connectSync } = await import("pagewire");
  const channel = connectSync({ url: s.server.url });
  const db = channel.openSync("sync");
  db.execSync(table);
  assert.throws(() => channel.openSync("sync", { mode: "fail" }), { code: /^actor_/ });
  db.closeSync();
  assert.throws(() => db.getSync("SELECT 1"), { code: "closed" });
  channel.closeSync();
  assert.throws(() => channel.openSync("x"), { code: "channel_closed" });
});

test("metrics count what was done", async (t) => {
  const db = await s.open(t);
  await db.exec(table);
  for (let i = 0; i < 10; i++) await db.get("SELECT count(*) FROM t");
  await db.all("SELECT nope").catch(() => {});
  const { sql, vfs } = db.metrics();
  assert.equal(sql.exec.count, 1);
  assert.equal(sql.get.count, 10);
  assert.equal(sql.errors, 1);
  assert.ok(sql.inlineHits >= 9);
  assert.ok(sql.get.maxMs > 0 && sql.get.totalMs >= sql.get.maxMs);
  assert.equal(vfs.commits, 1);
  const all = await s.channel.metrics();
  assert.ok(all.channel.requests > 0 && all.sql.get.count >= 10 && all.databases >= 1);
  assert.deepEqual(Object.keys(s.channel.metricsSync()), Object.keys(all));
});

test("a read that outlasted its time is left to a worker until it is short again", async (t) => {
  const db = await s.open(t);
  const count = db.prepare(
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ?) SELECT count(*) AS n FROM c",
  );
  const counters = () => {
    const { inlineHits, inlineReruns } = db.metrics().sql;
    return [inlineHits, inlineReruns];
  };
  const run = async (n) => assert.deepEqual(await count.get([n]), { n });
  await run(1);
  assert.deepEqual(counters(), [1, 0]);
  await run(100_000);
  assert.deepEqual(counters(), [1, 1], "begun here, and run again");
  await run(100_000);
  assert.equal(count.getSync([100_000]).n, 100_000);
  assert.deepEqual(counters(), [1, 1], "not begun here");
  await run(1);
  assert.deepEqual(counters(), [1, 1], "a worker sees that it is short");
  await run(1);
  assert.deepEqual(counters(), [2, 1]);
});

test("every inline operation is counted, and some are timed for all", async (t) => {
  const db = await s.open(t);
  for (let i = 0; i < 16; i++) db.getSync("SELECT 1");
  const few = db.metrics().sql.get;
  for (let i = 0; i < 160; i++) db.getSync("SELECT 1");
  const many = db.metrics().sql.get;
  assert.deepEqual([few.count, many.count], [16, 176]);
  assert.ok(many.totalMs > few.totalMs && many.totalMs >= many.maxMs);
});

test("a large result is no part of the next one", async (t) => {
  const db = await s.open(t);
  const numbers = (n, times) =>
    db.all("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ?) SELECT i * ? AS v FROM c", [
      n,
      times,
    ]);
  // Within the bridge's reused buffer, within a larger one, and beyond what is kept.
  for (const n of [10_000, 100_000, 600_000, 20_000]) {
    const [first, second] = [await numbers(n, 1), await numbers(n, 2)];
    assert.equal(first.length, n);
    assert.ok(first.every((row, i) => row.v === i + 1) && second.every((row, i) => row.v === 2 * i + 2));
  }
  const batch = await db.batch(Array.from({ length: 3000 }, (_, i) => ["SELECT ? AS v", [i]]));
  assert.ok(batch.every(({ rows }, i) => rows.length === 1 && rows[0].v === i));
});

test("any number of values is bound", async (t) => {
  const db = await s.open(t);
  for (const n of [0, 1, 2, 7, 8, 9, 17, 300]) {
    const values = Array.from({ length: n }, (_, i) => i * 2);
    const sql = `VALUES (${["'-'", ...values.map(() => "?")].join(", ")})`;
    for (const options of [{ rowMode: "array" }, { rowMode: "array", timeout: 10_000 }]) {
      assert.deepEqual(await db.get(sql, values, options), ["-", ...values]);
      assert.deepEqual(db.getSync(sql, values, options), ["-", ...values]);
    }
  }
  assert.throws(() => db.getSync("SELECT ?, ?, ?", Object.assign(Array(3), { 0: 1, 2: 3 })), {
    name: "TypeError",
    message: /parameter 2/,
  });
  const long = Object.assign([1, 2], { [Symbol.iterator]: () => Array(20).fill(7).values() });
  assert.throws(() => db.getSync("SELECT ?, ?", long), /too many values|2 parameters/);
});

test("awaiting one call after the other leaves the event loop its turns", async (t) => {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
  // Timers, which only a turn of the loop fires, end what else would go on for long.
  const until = async (call) => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    let calls = 0;
    for (; turns < 5 && calls < 1_000_000; calls++) await call().catch(() => {});
    clearInterval(timer);
    assert.ok(calls < 1_000_000, "the loop never turned");
  };
  await until(() => db.get("SELECT 1"));
  await until(() => db.get("SELECT nothing"));
  await db.transaction((tx) => until(() => tx.run("INSERT INTO t (v) VALUES (1)")));
  assert.ok((await db.metrics()).sql.inlineHits > 100);
});
