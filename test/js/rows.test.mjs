// Rows as the engine packs them become exact JavaScript values, with compiled decoders and without.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import test from "node:test";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const { load } = require("../../dist/channel.js");
const { modeOf } = load("options.js");
const { Result, Shapes } = load("rows.js");
const { scratch } = load("native.js");

const HEAD = 9;
const [NULL, INT, REAL, TEXT, BLOB, BIGINT] = [0, 1, 2, 3, 4, 5];

// Packs rows of [tag, value] as napi/result.c does.
function pack(names, rows) {
  const ncol = names.length;
  const cells = rows.length * ncol;
  const buffer = new ArrayBuffer((HEAD + cells) * 8 + Math.ceil(cells / 8) * 8);
  const f64 = new Float64Array(buffer);
  const i64 = new BigInt64Array(buffer);
  const u8 = new Uint8Array(buffer);
  f64.set([0, rows.length, ncol, 1, 0, 0, 0, 1, 1]);
  let text = "";
  const blobs = [];
  rows.flat().forEach(([tag, value], c) => {
    u8[(HEAD + cells) * 8 + c] = tag;
    if (tag === BIGINT) i64[HEAD + c] = value;
    else if (tag === TEXT || tag === BLOB) f64[HEAD + c] = value.length;
    else f64[HEAD + c] = value ?? 0;
    if (tag === TEXT) text += value;
    if (tag === BLOB) blobs.push(...value);
  });
  const blob = blobs.length ? new Uint8Array(blobs).buffer : undefined;
  return [text, `${names.join("\0")}\0`, blob, buffer];
}

function decode(names, rows, integers = "mixed", rowMode = "object") {
  const shapes = new Shapes();
  const mode = modeOf(integers, rowMode);
  const decoded = Result.single(pack(names, rows), shapes).rows(shapes, mode);
  if (rows.length > 0) assert.deepStrictEqual(decodeOne(shapes, mode, pack(names, rows.slice(0, 1))), decoded[0]);
  return decoded;
}

// A row alone, where point reads have it.
function decodeOne(shapes, mode, [text, , blob, buffer]) {
  new Uint8Array(scratch).set(new Uint8Array(buffer, HEAD * 8));
  return shapes
    .find(1)
    .decoder(mode)
    .one(text, new Uint8Array(blob ?? 0));
}

test("every type, with its neighbours unharmed", () => {
  const blob = new Uint8Array([0, 255, 7]);
  const row = [
    [NULL, null],
    [INT, Number.MAX_SAFE_INTEGER],
    [INT, Number.MIN_SAFE_INTEGER],
    [BIGINT, 2n ** 63n - 1n],
    [BIGINT, -(2n ** 63n)],
    [REAL, -0],
    [REAL, 1e308],
    [REAL, Number.NEGATIVE_INFINITY],
    [TEXT, ""],
    [TEXT, "a\0b"],
    [TEXT, "ü€😀"],
    [TEXT, "\ud800x\udfff"],
    [BLOB, new Uint8Array(0)],
    [BLOB, blob],
    [TEXT, "end"],
  ];
  const names = row.map((_, i) => `c${i}`);
  const rows = decode(names, [row, row], "mixed", "array");
  assert.deepEqual(rows, [row.map(([, value]) => value), row.map(([, value]) => value)]);
  assert.ok(Object.is(rows[1][5], -0));
  const objects = decode(names, [row, row]);
  assert.deepEqual(
    Object.values(objects[1]),
    row.map(([, value]) => value),
  );
});

test("a blob has memory of its own", () => {
  const blob = new Uint8Array([1, 2]);
  const [first, second] = decode(["b"], [[[BLOB, blob]], [[BLOB, blob]]]);
  assert.notEqual(first.b.buffer, second.b.buffer);
  assert.equal(first.b.buffer.byteLength, 2);
});

test("integers as they are asked for", () => {
  const row = [
    [INT, 5],
    [BIGINT, 2n ** 60n],
    [REAL, 5],
  ];
  assert.deepEqual(decode(["a", "b", "c"], [row], "bigint"), [{ a: 5n, b: 2n ** 60n, c: 5 }]);
  assert.deepEqual(decode(["a", "b", "c"], [row], "mixed"), [{ a: 5, b: 2n ** 60n, c: 5 }]);
  assert.throws(() => decode(["a", "b", "c"], [row], "number"), {
    name: "PagewireError",
    code: "integer_out_of_range",
    message: /column "b" holds 1152921504606846976/,
  });
  assert.deepEqual(decode(["a"], [[[INT, 5]]], "number"), [{ a: 5 }]);
});

test("names that are not identifiers are own properties", () => {
  const names = ["__proto__", "constructor", "1", 'quo"te', "new\nline", "", "ü", "a", "a"];
  const [row] = decode(names, [names.map((_, i) => [INT, i])]);
  assert.ok(Object.hasOwn(row, "__proto__"));
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
  assert.equal(Object.getOwnPropertyDescriptor(row, "__proto__").value, 0);
  assert.equal(row['quo"te'], 3);
  assert.equal(row["new\nline"], 4);
  assert.equal(row[""], 5);
  assert.equal(row.a, 8); // the last of two columns of one name
  assert.deepEqual(decode(names, [names.map((_, i) => [INT, i])], "mixed", "array"), [[0, 1, 2, 3, 4, 5, 6, 7, 8]]);
});

test("texts that come in pieces, wherever these are cut", () => {
  const text = (length, c) => [
    TEXT,
    String.fromCodePoint(0x1f600 + c, 0x61 + c)
      .repeat(length)
      .slice(0, length),
  ];
  const rows = Array.from({ length: 12 }, (_, r) => [text(r % 5, 0), [INT, r], text(17 * (r % 3), 1), text(1, 2)]);
  const expected = rows.map((row) => row.map(([, value]) => value));
  const [texts, ...rest] = pack(["a", "b", "c", "d"], rows);
  for (let size = 1; size <= texts.length + 1; size++) {
    const pieces = [];
    for (let at = 0; at < texts.length; at += size) pieces.push(texts.slice(at, at + size));
    const shapes = new Shapes();
    const result = Result.single([pieces, ...rest], shapes);
    assert.deepStrictEqual(result.rows(shapes, modeOf("mixed", "array")), expected);
  }
});

test("no rows and no columns", () => {
  assert.deepEqual(decode(["a"], []), []);
  assert.deepEqual(decode([], []), []);
});

test("the same without code generation from strings", { skip: process.env.PAGEWIRE_TEST_NO_EVAL === "1" }, () => {
  const run = spawnSync(
    process.execPath,
    ["--disallow-code-generation-from-strings", "--test-reporter=tap", fileURLToPath(import.meta.url)],
    { encoding: "utf8", env: { ...process.env, PAGEWIRE_TEST_NO_EVAL: "1", NODE_TEST_CONTEXT: undefined } },
  );
  assert.match(run.stdout, /# pass 6/);
  assert.equal(run.status, 0, run.stdout);
});
