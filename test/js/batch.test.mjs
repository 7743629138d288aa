// Batches cross packed: what goes into one comes back exactly, whatever it stands beside.

import assert from "node:assert/strict";
import test from "node:test";
import { serve } from "./harness.mjs";

const s = serve();

const narrow = [null, 0, -0, 1, 0.1, -1.5, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 53, 2 ** 60, Infinity, -Infinity];
const big = [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, -(2n ** 53n), 2n ** 62n + 1n];
const ascii = ["", "a", "a\0b", "\0", "key-1", "x".repeat(1000)];
const wide = [
  "caf\u00e9",
  "\u20ac",
  "\u4e2d\u6587",
  "\ud83d\ude00",
  "a\ufffdb",
  "\u00e9\0\ud83d\ude00z",
  "\uffff\u0080",
];
const blobs = [new Uint8Array(0), new Uint8Array([0, 1, 255]), new Uint8Array([9, 8, 7]).subarray(1)];
const long = ["n".repeat(700_000), "\u4e2d".repeat(500_000), "after"]; // more than is packed

/** Rows of three values, each beside others every time. */
function rowsOf(values) {
  return values.map((_, i) => [0, 1, 2].map((k) => values[(i * (k + 1) + k) % values.length]));
}

async function roundTrip(t, rows, options) {
  const db = await s.open(t, { rowMode: "array" });
  await db.exec("CREATE TABLE t (i INTEGER PRIMARY KEY, a, b, c)");
  const insert = "INSERT INTO t VALUES (?, ?, ?, ?)";
  const items = rows.map((row, i) => [insert, [i, ...row]]);
  const made = options?.sync ? db.batchSync(items) : await db.batch(items);
  assert.deepEqual(
    made,
    rows.map((_, i) => ({ changes: 1, lastInsertRowid: i })),
  );
  const stored = await db.all("SELECT a, b, c FROM t ORDER BY i");
  assert.equal(stored.length, rows.length);
  for (const [i, row] of stored.entries()) {
    assert.deepEqual(row, rows[i], `row ${i}`);
    assert.ok(row.every((value, k) => typeof value !== "number" || Object.is(value, rows[i][k])));
  }
}

for (const [what, values] of Object.entries({ narrow, big, ascii, wide, blobs, long })) {
  test(`${what} values of a batch come back exactly`, (t) => roundTrip(t, rowsOf(values)));
}

test("values of all kinds in one batch come back exactly", async (t) => {
  const all = [...narrow, ...big, ...ascii, ...wide, ...blobs];
  await roundTrip(t, rowsOf(all));
  await roundTrip(t, rowsOf(all), { sync: true });
});

test("a large batch comes back exactly", async (t) => {
  const rows = Array.from({ length: 20_000 }, (_, i) => [`k${i}`, i % 1000 ? i / 4 : `\u20ac${i}`, i % 7 ? null : "x"]);
  await roundTrip(t, rows);
});

test("booleans of a batch are integers, and arrays stand beside names, blobs and nothing", async (t) => {
  const db = await s.open(t, { rowMode: "array" });
  const results = await db.batch([
    ["SELECT ?, ?, typeof(?1)", [true, false]],
    ["SELECT $a, :b", { a: "\u20ac", b: new Uint8Array([1]) }],
    "SELECT 'none'",
    ["SELECT ?", [Buffer.from("b")]],
    ["SELECT 'empty'", []],
    ["SELECT ?, typeof(?1)", ["\ud83d\ude00"]],
    ["SELECT 'undefined'", undefined],
  ]);
  assert.deepEqual(
    results.map(({ rows }) => rows[0]),
    [
      [1, 0, "integer"],
      ["\u20ac", new Uint8Array([1])],
      ["none"],
      [new Uint8Array([98])],
      ["empty"],
      ["\ud83d\ude00", "text"],
      ["undefined"],
    ],
  );
});

test("halves of a surrogate pair do not meet", async (t) => {
  const db = await s.open(t);
  const expected = { name: "TypeError", message: /^parameter 1: a string with half of a surrogate pair/ };
  await assert.rejects(db.batch([["SELECT ?, ?", ["\ud83d", "\ude00"]]]), expected);
  assert.throws(
    () =>
      db.batchSync([
        ["SELECT ?", ["a\ud83d"]],
        ["SELECT ?", ["\ude00"]],
      ]),
    expected,
  );
});

test("more statements than are cached, and rows of several shapes", async (t) => {
  const db = await s.open(t, { cachedStatements: 3 });
  const items = Array.from({ length: 60 }, (_, i) => [`SELECT ? AS c${i % 10}, 'x' AS d`, [i]]);
  for (let again = 0; again < 3; again++) {
    const results = await db.batch(items);
    assert.deepEqual(
      results.map(({ rows }) => rows),
      items.map((_, i) => [{ [`c${i % 10}`]: i, d: "x" }]),
    );
  }
});

test("reading the parameters of a batch may run another one", async (t) => {
  const db = await s.open(t);
  const params = [1, 2, "outer"];
  Object.defineProperty(params, 1, {
    get: () => db.batchSync([["SELECT ? AS v", ["inner, which is longer"]]])[0].rows[0].v.length,
  });
  const named = {
    get v() {
      return db.batchSync([["SELECT ? || ? AS v", ["named, ", "inner"]]])[0].rows[0].v;
    },
  };
  const [first, second, third] = db.batchSync([
    ["SELECT ? AS a, ? AS b, ? AS c", params],
    ["SELECT $v AS v", named],
    ["SELECT ? AS v", ["last"]],
  ]);
  assert.deepEqual(first.rows, [{ a: 1, b: 22, c: "outer" }]);
  assert.deepEqual(second.rows, [{ v: "named, inner" }]);
  assert.deepEqual(third.rows, [{ v: "last" }]);
});

test("a batch that is refused leaves the next one alone", async (t) => {
  const db = await s.open(t);
  const boom = new Error("boom");
  const throwing = Object.defineProperty([1], 0, {
    get() {
      throw boom;
    },
  });
  for (const bad of [["SELECT ?", throwing], ["SELECT ?", [Number.NaN]], ["SELECT ?", [{}]], [7]]) {
    await assert.rejects(db.batch([["SELECT ?", ["text of the one before"]], bad]));
    assert.deepEqual((await db.batch([["SELECT ? AS v", ["text"]]]))[0].rows, [{ v: "text" }]);
  }
  await assert.rejects(
    db.batch([
      ["SELECT ?", [1]],
      ["SELECT ?", [1, 2]],
    ]),
    {
      code: "parameter",
      message: /batch statement 2/,
    },
  );
});
