// Values go into SQLite and come back exactly; what cannot is refused by name.

import assert from "node:assert/strict";
import test from "node:test";
import { serve } from "./harness.mjs";

const s = serve();

const exact = [
  ["null", null, "null"],
  ["zero", 0, "integer"],
  ["minus zero", -0, "real"],
  ["a safe integer", Number.MAX_SAFE_INTEGER, "integer"],
  ["the least safe integer", Number.MIN_SAFE_INTEGER, "integer"],
  ["a double", 0.1, "real"],
  ["an integer beyond 2^53", 2 ** 60, "real"],
  ["infinity", Number.POSITIVE_INFINITY, "real"],
  ["the largest bigint", 2n ** 63n - 1n, "integer"],
  ["the least bigint", -(2n ** 63n), "integer"],
  ["an empty string", "", "text"],
  ["an embedded NUL", "a\0b", "text"],
  ["latin text", "caf\u00e9", "text"],
  ["wide text", "\u20ac \u4e2d \ud83d\ude00", "text"],
  ["the replacement character", "a\ufffdb", "text"],
  ["a long string", "x".repeat(100_000), "text"],
  ["a long wide string", "\u4e2d".repeat(50_000), "text"],
  ["an empty blob", new Uint8Array(0), "blob"],
  ["a blob", new Uint8Array([0, 1, 255]), "blob"],
  ["a view of a larger buffer", new Uint8Array([9, 8, 7, 6]).subarray(1, 3), "blob"],
];

for (const [what, value, type] of exact) {
  test(`${what} comes back exactly`, async (t) => {
    const db = await s.open(t);
    const sql = "SELECT ?1 AS v, typeof(?1) AS type, ?1 AS again";
    for (const row of [await db.get(sql, [value]), db.getSync(sql, [value]), (await db.all(sql, [value]))[0]]) {
      assert.equal(row.type, type);
      assert.deepEqual(row.v, value);
      assert.deepEqual(row.again, value);
      assert.ok(typeof value !== "number" || Object.is(row.v, value));
    }
    const named = await db.get("SELECT $x AS a, :y AS b, @z AS c", { x: value, y: value, z: value });
    assert.deepEqual(named, { a: value, b: value, c: value });
  });
}

test("narrow and wide text, blobs and numbers in one result", async (t) => {
  const db = await s.open(t, { rowMode: "array" });
  const values = ["narrow", new Uint8Array([1]), "\u4e2d", 1.5, "", "after", new Uint8Array(0), null, 2n ** 62n];
  assert.deepEqual(await db.get(`SELECT ${values.map(() => "?").join(", ")}`, values), values);
  const table = Array.from({ length: 3000 }, (_, i) => [i, i % 2 ? `t${i}` : `\u20ac${i}`, new Uint8Array([i & 255])]);
  await db.exec("CREATE TABLE t (a, b, c)");
  await db.batch(table.map((row) => ["INSERT INTO t VALUES (?, ?, ?)", row]));
  assert.deepEqual(await db.all("SELECT * FROM t ORDER BY rowid"), table); // too large for the reused buffer
});

test("many short texts come back exactly, more than one string holds, and so do few long ones", async (t) => {
  const db = await s.open(t, { rowMode: "array" });
  const narrow = (n) => "0123456789abcdef".repeat(1 + n / 16).slice(0, n);
  const wide = (n) => "\u{1f600}\u00e9z".repeat(1 + n / 4).slice(0, n - (n % 4));
  const tables = {
    narrow: Array.from({ length: 2000 }, (_, i) => [i, narrow(i % 997), i % 3 ? null : narrow(i % 7)]),
    wide: Array.from({ length: 1500 }, (_, i) => [i, wide(i % 409), narrow(i % 5)]),
    few: Array.from({ length: 20 }, (_, i) => [i, narrow(3500 + i), ""]), // numbers fit into the reused buffer
    long: Array.from({ length: 5 }, (_, i) => [i, narrow(70_000 + i), wide(66_000 + 4 * i)]),
  };
  for (const [name, rows] of Object.entries(tables)) {
    await db.exec(`CREATE TABLE ${name} (a, b, c)`);
    await db.batch(rows.map((row) => [`INSERT INTO ${name} VALUES (?, ?, ?)`, row]));
    const sql = `SELECT * FROM ${name} ORDER BY a`;
    assert.deepEqual(await db.all(sql), rows, name);
    assert.deepEqual(db.allSync(sql), rows, name);
    const iterated = [];
    for await (const row of db.iterate(sql)) iterated.push(row);
    assert.deepEqual(iterated, rows, name);
    assert.deepEqual((await db.batch([sql, "SELECT 1"]))[0].rows, rows, name);
  }
});

test("booleans and safe bigints are integers, a Buffer is a blob", async (t) => {
  const db = await s.open(t, { rowMode: "array" });
  const row = await db.get("SELECT ?, ?, ?, ?", [true, false, 7n, Buffer.from("hi")]);
  assert.deepEqual(row, [1, 0, 7, new Uint8Array([104, 105])]);
});

test("names may carry their prefix", async (t) => {
  const db = await s.open(t);
  assert.deepEqual(await db.get("SELECT $a + :b + @c AS n", { $a: 1, ":b": 2, "@c": 4 }), { n: 7 });
});

const refused = [
  [[1, undefined], /^parameter 2: undefined cannot be bound; use null/],
  [[Number.NaN], /^parameter 1: NaN cannot be bound/],
  [[() => 1], /^parameter 1: a function cannot be bound/],
  [[Symbol("x")], /^parameter 1: a symbol cannot be bound/],
  [[{}], /^parameter 1: an object cannot be bound/],
  [[1, new Date()], /^parameter 2: a Date cannot be bound; use a number \(date.getTime\(\)\)/],
  [[[1]], /^parameter 1: an Array cannot be bound/],
  [[new Float64Array(1)], /^parameter 1: a Float64Array cannot be bound; use a Uint8Array/],
  [[new ArrayBuffer(1)], /^parameter 1: an ArrayBuffer cannot be bound; use a Uint8Array/],
  [[new DataView(new ArrayBuffer(1))], /^parameter 1: a DataView cannot be bound/],
  [[2n ** 63n], /^parameter 1: a bigint beyond 64 bits/],
  [[-(2n ** 63n) - 1n], /^parameter 1: a bigint beyond 64 bits/],
  [["ok", "\ud800"], /^parameter 2: a string with half of a surrogate pair/],
  [[`${"x".repeat(5000)}\udc00\ufffd`], /^parameter 1: a string with half of a surrogate pair/],
  [[Promise.resolve(1)], /^parameter 1: a Promise cannot be bound; await it first/],
  [{ v: undefined }, /^parameter "v": undefined cannot be bound/],
  [new Map(), /^params: Map is neither an array/],
  [new Uint8Array(1), /^params: Uint8Array is neither an array/],
  ["x", /^params: x is neither an array/],
  [null, /^params: null is neither an array/],
];

test("what cannot be bound is a TypeError that names it", async (t) => {
  const db = await s.open(t);
  const stmt = db.prepare("SELECT ?, ?");
  for (const [params, message] of refused) {
    const expected = { name: "TypeError", message };
    await assert.rejects(db.get("SELECT ?, ?", params), expected);
    await assert.rejects(stmt.all(params), expected);
    await assert.rejects(db.batch([["SELECT ?, ?", params]]), expected);
    assert.throws(() => db.getSync("SELECT ?, ?", params), expected);
  }
  assert.deepEqual(await db.get("SELECT ? AS v", [1]), { v: 1 });
});

test("too few, too many and unknown parameters are refused", async (t) => {
  const db = await s.open(t);
  for (const params of [undefined, [], [1], [1, 2, 3], { a: 1 }, { a: 1, b: 2, c: 3 }]) {
    await assert.rejects(db.get("SELECT $a, $b", params), { name: "PagewireError", code: "parameter" });
  }
});

test("a getter among the parameters may throw, or use the database itself", async (t) => {
  const db = await s.open(t);
  const boom = new Error("boom");
  const throwing = {
    get v() {
      throw boom;
    },
  };
  await assert.rejects(db.get("SELECT $v", throwing), boom);
  assert.throws(() => db.getSync("SELECT $v", throwing), boom);
  const nested = {
    a: "outer",
    get v() {
      return db.getSync("SELECT ? || ? AS v", ["inner ", "text"]).v;
    },
  };
  assert.deepEqual(db.getSync("SELECT $a AS a, $v AS v", nested), { a: "outer", v: "inner text" });
});
