// The generic key-value interface.

import assert from "node:assert/strict";
import test from "node:test";
import { serve } from "./harness.mjs";

const s = serve();
const bytes = (text) => new Uint8Array(Buffer.from(text));

test("put, get, list, delete", async () => {
  const kv = s.channel.kv("kv-1");
  await assert.rejects(kv.get("a"), { code: "actor_not_open" });
  await kv.open();
  await kv.put([
    ["a", "1"],
    [new Uint8Array([0, 255]), new Uint8Array(0)],
    ["b", "2"],
    ["c", "3"],
  ]);
  assert.deepEqual(await kv.get("a"), bytes("1"));
  assert.deepEqual(await kv.get(["b", "none", new Uint8Array([0, 255])]), [bytes("2"), undefined, new Uint8Array(0)]);
  assert.deepEqual(await kv.list({ prefix: "b" }), { entries: [[bytes("b"), bytes("2")]], more: false });
  assert.deepEqual(await kv.list({ start: "a", end: "c", reverse: true, limit: 1 }), {
    entries: [[bytes("b"), bytes("2")]],
    more: true,
  });
  await kv.delete("a");
  await kv.deleteRange("b", "c");
  assert.deepEqual((await kv.list()).entries, [
    [new Uint8Array([0, 255]), new Uint8Array(0)],
    [bytes("c"), bytes("3")],
  ]);
  await assert.rejects(kv.put([[new Uint8Array(3000), "x"]]), { code: "key_too_large" });
  await assert.rejects(kv.put([[1, "x"]]), TypeError);
  await assert.rejects(kv.list({ prefx: "b" }), /kv\.list: there is no option "prefx"; there are prefix, start/);
  for (const limit of [0, -1, 1.5])
    await assert.rejects(kv.list({ limit }), /limit: .* is not a whole number of entries/);
  await kv.close();
  await assert.rejects(kv.get("a"), { code: "closed" });
});

test("preload tells absent from not scanned (I9)", async () => {
  const kv = s.channel.kv("kv-2");
  await kv.open();
  await kv.put(Array.from({ length: 20 }, (_, i) => [`p${String(i).padStart(2, "0")}`, "x".repeat(100)]));
  await kv.close();
  const opened = await kv.open({
    preload: { keys: ["p00", "absent"], prefixes: [{ prefix: "p", maxBytes: 500, partial: true }], budget: 100_000 },
  });
  assert.deepEqual(opened.scannedKeys, [bytes("p00"), bytes("absent")]);
  assert.deepEqual(opened.entries[0], [bytes("p00"), bytes("x".repeat(100))]);
  const [scan] = opened.scannedPrefixes;
  assert.equal(scan.complete, false);
  assert.ok(scan.through.length === 3);
  await kv.close();
});

test("calls that are not awaited keep their order", async () => {
  const kv = s.channel.kv("kv-order");
  await kv.open();
  const text = (value) => value && Buffer.from(value).toString();
  const calls = [];
  for (let i = 0; i < 500; i++) {
    calls.push(
      kv.put([["k", String(i)]]),
      kv.get("k").then((value) => assert.equal(text(value), String(i))),
      kv.delete("k"),
      kv.get("k").then((value) => assert.equal(value, undefined)),
    );
  }
  const last = kv.put([["k", "last"]]);
  const closed = kv.close();
  await assert.rejects(kv.get("k"), { code: "closed" });
  await Promise.all([...calls, last, closed]);
  await kv.open();
  assert.equal(text(await kv.get("k")), "last");
  await kv.close();
});
