// The golden frames of the protocol, read by a decoder of another language: what internal/protocol writes must be what
// the specification says, not only what internal/protocol reads.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, encode } from "cborg";
import { crc32c } from "../support/websocket.mjs";

const { frames } = JSON.parse(
  readFileSync(new URL("../../internal/protocol/testdata/vectors.json", import.meta.url), "utf8"),
);

/** The frame of a message, which its checksum follows. */
function unsealed(hex) {
  const message = Buffer.from(hex, "hex");
  const frame = message.subarray(0, -4);
  assert.equal(message.readUInt32BE(frame.length), crc32c(frame));
  return frame;
}

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

test("the checksum is CRC-32C, as RFC 3720 has it", () => {
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
});

test("golden frames decode to what they say", () => {
  assert.ok(frames.length > 20);
  for (const { name, hex, value } of frames) {
    const decoded = decode(unsealed(hex), { useMaps: true });
    assert.deepEqual(render(decoded), value, name);
  }
});

test("golden frames are in the deterministic encoding", () => {
  for (const { name, hex } of frames) {
    const decoded = decode(unsealed(hex), { useMaps: true, strict: true });
    assert.deepEqual(Buffer.from(encode(decoded)), unsealed(hex), name);
  }
});
