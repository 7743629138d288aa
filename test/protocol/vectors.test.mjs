// The golden frames of the protocol, read by a decoder of another language: what internal/protocol writes must be what
// the specification says, not only what internal/protocol reads.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, encode } from "cborg";

const { frames } = JSON.parse(
  readFileSync(new URL("../../internal/protocol/testdata/vectors.json", import.meta.url), "utf8"),
);

/** Renders a decoded value as vectors.json does. */
function render(value) {
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, inner]) => [String(key), render(inner)]));
  }
  if (value instanceof Uint8Array) {
    return { $hex: Buffer.from(value).toString("hex") };
  }
  if (Array.isArray(value)) {
    return value.map(render);
  }
  return typeof value === "bigint" ? { $int: String(value) } : value;
}

test("golden frames decode to what they say", () => {
  assert.ok(frames.length > 20);
  for (const { name, hex, value } of frames) {
    const decoded = decode(Buffer.from(hex, "hex"), { useMaps: true });
    assert.deepEqual(render(decoded), value, name);
  }
});

test("golden frames are in the deterministic encoding", () => {
  for (const { name, hex } of frames) {
    const decoded = decode(Buffer.from(hex, "hex"), { useMaps: true, strict: true });
    assert.equal(Buffer.from(encode(decoded)).toString("hex"), hex, name);
  }
});
