// Calls of the Go side with byte strings beside their JSON.

import { call } from "./calls.js";
import type { Limits } from "./limits.js";

export type Bytes = Uint8Array | undefined;
const absent = 0xffffffff;

/** Byte strings as they cross: {u32 LE length, bytes} each, a length of 2^32-1 for an absent one. */
function packBytes(list: readonly Bytes[]): Uint8Array {
  let size = 0;
  for (const bytes of list) size += 4 + (bytes?.length ?? 0);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const bytes of list) {
    view.setUint32(at, bytes?.length ?? absent, true);
    at += 4;
    if (bytes === undefined) continue;
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

/** The opposite; every byte string has memory of its own. */
function unpackBytes(buffer: ArrayBuffer | undefined): Bytes[] {
  const list: Bytes[] = [];
  if (buffer === undefined) return list;
  const view = new DataView(buffer);
  let at = 0;
  while (at < buffer.byteLength) {
    const n = view.getUint32(at, true);
    at += 4;
    if (n === absent) {
      list.push(undefined);
      continue;
    }
    list.push(new Uint8Array(buffer.slice(at, at + n)));
    at += n;
  }
  return list;
}

/** Calls a method. Resolves to the answer's JSON and byte strings. */
export async function callWith<T>(
  method: string,
  request: object,
  limits: Limits | undefined,
  bytes: readonly Bytes[],
): Promise<{ value: T; bytes: Bytes[] }> {
  const { value, packed } = await call<T>(method, request, limits, packBytes(bytes));
  return { value, bytes: unpackBytes(packed) };
}
