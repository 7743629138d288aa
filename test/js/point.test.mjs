// Point reads: a statement whose first row is read often is read without an operation, and nobody can tell but by the time.

import assert from "node:assert/strict";
import test from "node:test";
import { serve } from "./harness.mjs";

const running = serve();
const often = 20; // calls after which a statement is read so

/** What every one of many calls of get and getSync answers; they must agree. */
async function all(db, sql, params) {
  const statement = db.prepare(sql);
  const answers = [];
  for (let i = 0; i < often; i++) {
    answers.push(
      statement.getSync(params),
      await statement.get(params),
      db.getSync(sql, params),
      await db.get(sql, params),
    );
  }
  for (const answer of answers) assert.deepStrictEqual(answer, answers[0]);
  statement.close();
  return answers[0];
}

/** The error of every one of many calls; they must agree, whatever was read before. */
async function fails(db, sql, good, bad, expected) {
  const statement = db.prepare(sql);
  for (let i = 0; i < often; i++) {
    if (good !== undefined) statement.getSync(good);
    assert.throws(() => statement.getSync(bad), expected);
    await assert.rejects(statement.get(bad), expected);
  }
}

test("values cross exactly", async (t) => {
  const db = await running.open(t);
  const values = [
    0,
    -0,
    0.5,
    2 ** 53 - 1,
    2 ** 53,
    Infinity,
    "",
    "text",
    "nul \0 in it",
    "\ufffd",
    "été \u{1f600}",
    "long ".repeat(50_000),
    null,
    2n ** 62n,
    new Uint8Array(0),
    new Uint8Array([0, 255]),
    new Uint8Array(100_000).fill(7),
  ];
  for (const value of values) {
    assert.deepStrictEqual(await all(db, "SELECT ? AS value", [value]), { value });
    assert.deepStrictEqual(await all(db, "SELECT ? AS a, ? AS b", [1, value]), { a: 1, b: value });
    assert.deepStrictEqual(await all(db, "SELECT ? AS a, ? AS b", [value, value]), { a: value, b: value });
  }
  assert.deepStrictEqual(await all(db, "SELECT ? AS yes, ? AS no", [true, false]), { yes: 1, no: 0 });
  assert.deepStrictEqual(await all(db, "SELECT 1 AS a", []), { a: 1 });
  assert.deepStrictEqual(await all(db, "SELECT 1 AS a"), { a: 1 });
  assert.deepStrictEqual(await all(db, "SELECT :a AS a", { a: 5 }), { a: 5 });
  assert.strictEqual(await all(db, "SELECT 1 WHERE ? = 2", [1]), undefined);
  for (const n of [7, 8, 9, 100]) {
    const params = Array.from({ length: n }, (_, i) => i + 0.5);
    const sql = `SELECT ${params.map((_, i) => `? AS c${i}`)}`;
    assert.deepStrictEqual(Object.values(await all(db, sql, params)), params);
  }
});

test("rows come in the database's mode, and in that of a call", async (t) => {
  const db = await running.open(t, { rowMode: "array", integers: "bigint" });
  assert.deepStrictEqual(await all(db, "SELECT ?, 'text'", [1]), [1n, "text"]);
  const statement = db.prepare("SELECT ? AS a");
  for (let i = 0; i < often; i++) {
    assert.deepStrictEqual(statement.getSync([1]), [1n]);
    assert.deepStrictEqual(statement.getSync([1], { rowMode: "object", integers: "number" }), { a: 1 });
  }
  const numbers = await running.open(t, { integers: "number" });
  await fails(numbers, "SELECT ? AS big", [1], [2n ** 53n], { code: "integer_out_of_range" });
});

test("errors say what they say elsewhere", async (t) => {
  const db = await running.open(t);
  await fails(db, "SELECT ? AS a", [1], [NaN], TypeError);
  await fails(db, "SELECT ? AS a", [1], [undefined], TypeError);
  await fails(db, "SELECT ? AS a", [1], ["\ud800"], TypeError);
  await fails(db, "SELECT ? AS a, ? AS b", [1, 2], [1, {}], TypeError);
  await fails(db, "SELECT ? AS a", [1], [1, 2], /the statement has 1 parameter, 2 values were given/);
  await fails(db, "SELECT ? AS a", [1], [], /the statement has 1 parameter, 0 values were given/);
  await fails(db, "SELECT ? AS a", [1], "text", TypeError);
  await fails(db, "SELECT abs(?) AS a", [1], [-(2n ** 63n)], /integer overflow/);
  await fails(db, "SELECT json(?) AS a", ["1"], ["{"], /malformed JSON/);
  await fails(db, "SELECT 1 FROM nowhere", undefined, [], /no such table: nowhere/);
});

test("what reads a parameter may read the database", async (t) => {
  const db = await running.open(t);
  const statement = db.prepare("SELECT ? AS a, ? AS b");
  const nested = new Proxy([1, 2], {
    get: (target, key) => {
      if (key === "1") assert.deepStrictEqual(statement.getSync([7, 8]), { a: 7, b: 8 });
      return Reflect.get(target, key);
    },
  });
  for (let i = 0; i < often; i++) {
    statement.getSync([3, 4]);
    assert.deepStrictEqual(statement.getSync(nested), { a: 1, b: 2 });
  }
});

test("columns are those of the schema now", async (t) => {
  const db = await running.open(t);
  await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
  const statement = db.prepare("SELECT * FROM t WHERE a = ?");
  for (let i = 0; i < often; i++) assert.deepStrictEqual(statement.getSync([1]), { a: 1 });
  await db.exec("ALTER TABLE t ADD COLUMN b DEFAULT 'more'");
  for (let i = 0; i < often; i++) assert.deepStrictEqual(statement.getSync([1]), { a: 1, b: "more" });
  await db.exec("ALTER TABLE t RENAME COLUMN b TO c");
  for (let i = 0; i < often; i++) assert.deepStrictEqual(await statement.get([1]), { a: 1, c: "more" });
  await db.exec("DROP TABLE t");
  assert.throws(() => statement.getSync([1]), /no such table: t/);
});

test("writes between reads are seen, and wait for nobody", async (t) => {
  const db = await running.open(t);
  await db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  const statement = db.prepare("SELECT count(*) AS n, max(a) AS last FROM t");
  for (let i = 1; i <= often; i++) {
    const written = db.run("INSERT INTO t VALUES(?, ?)", [i, `row ${i}`]);
    assert.deepStrictEqual(await statement.get(), { n: i, last: i }); // behind the write
    await written;
    for (let k = 0; k < 3; k++) assert.deepStrictEqual(statement.getSync(), { n: i, last: i });
    if (i % 5 === 0) await db.exec("VACUUM");
  }
  await db.transaction(async (tx) => {
    await tx.run("DELETE FROM t");
    assert.deepStrictEqual(await tx.get("SELECT count(*) AS n FROM t"), { n: 0 });
    assert.throws(() => statement.getSync(), { code: "busy" });
    await tx.run("INSERT INTO t VALUES(1, 'last')");
  });
  assert.deepStrictEqual(statement.getSync(), { n: 1, last: 1 });
});

test("INSERT ... RETURNING through get() writes once a call", async (t) => {
  const db = await running.open(t);
  await db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY)");
  const statement = db.prepare("INSERT INTO t VALUES(?) RETURNING a");
  for (let i = 1; i <= often; i++) assert.deepStrictEqual(await statement.get([i]), { a: i });
  assert.deepStrictEqual(await db.get("SELECT count(*) AS n FROM t"), { n: often });
});

test("statements come and go", async (t) => {
  const db = await running.open(t, { cachedStatements: 4 });
  const other = await running.open(t);
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 10; i++) {
      for (let k = 0; k < often; k++) {
        assert.deepStrictEqual(db.getSync(`SELECT ? + ${i} AS sum${i}`, [k]), { [`sum${i}`]: k + i });
        assert.deepStrictEqual(other.getSync(`SELECT ? - ${i} AS sum${i}`, [k]), { [`sum${i}`]: k - i });
      }
    }
  }
  const statement = db.prepare("SELECT ? AS a");
  for (let i = 0; i < often; i++) statement.getSync([i]);
  statement.close();
  assert.throws(() => statement.getSync([1]), { code: "closed" });
  assert.deepStrictEqual(await all(db, "SELECT ? AS b", [2]), { b: 2 });
});

test("a closed database refuses", async () => {
  const db = await running.channel.open("closes");
  const statement = db.prepare("SELECT ? AS a");
  for (let i = 0; i < often; i++) assert.deepStrictEqual(statement.getSync([i]), { a: i });
  await db.close();
  assert.throws(() => statement.getSync([1]), { code: "closed" });
  await assert.rejects(statement.get([1]), { code: "closed" });
});
