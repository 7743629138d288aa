// @rivetkit/sqlite-vfs, the other implementation of the storage layout: SQLite in WASM whose pages go through callbacks,
// here either to the KV channel or to a Map.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { SqliteVfs } from "@rivetkit/sqlite-vfs";

// Compiled once: an instance then costs milliseconds.
const wasm = await WebAssembly.compile(
  readFileSync(createRequire(import.meta.url).resolve("@rivetkit/sqlite/dist/wa-sqlite-async.wasm")),
);

// Cuts a list into pieces of at most `count` elements and `bytes` bytes, as a server takes them at once.
function pieces(list, count, bytes, sizeOf) {
  const out = [];
  let room = 0;
  for (const item of list) {
    const size = sizeOf(item);
    if (out.length === 0 || size > room || out.at(-1).length === count) {
      out.push([]);
      room = bytes;
    }
    out.at(-1).push(item);
    room -= size;
  }
  return out;
}

/** The peer's callbacks over an open key-value handle of the channel, within the limits that the server announced. */
export function overChannel(channel, kv) {
  const { batchKeys, putBytes } = channel.limits;
  const getBatch = async (keys) => {
    const answers = await Promise.all(pieces(keys, batchKeys, Infinity, () => 0).map((some) => kv.get(some)));
    return answers.flat().map((value) => value ?? null);
  };
  const putBatch = async (entries) => {
    for (const some of pieces(entries, batchKeys, putBytes, ([key, value]) => key.length + value.length)) {
      await kv.put(some);
    }
  };
  return {
    getBatch,
    putBatch,
    get: async (key) => (await getBatch([key]))[0],
    put: (key, value) => putBatch([[key, value]]),
    deleteBatch: async (keys) => {
      for (const some of pieces(keys, batchKeys, Infinity, () => 0)) await kv.delete(some);
    },
  };
}

const hex = (key) => Buffer.from(key).toString("hex");

/** A Map for overMap(), and the entries of one in the order of their keys. */
export const mapOf = (entries) => new Map(entries.map(([key, value]) => [hex(key), value]));
export const entriesOf = (map) =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [Buffer.from(k, "hex"), v]);

/** The peer's callbacks over a Map from keys in hex to values. */
export function overMap(map) {
  return {
    get: async (key) => map.get(hex(key)) ?? null,
    getBatch: async (keys) => keys.map((key) => map.get(hex(key)) ?? null),
    put: async (key, value) => void map.set(hex(key), value.slice()),
    putBatch: async (entries) => {
      for (const [key, value] of entries) map.set(hex(key), value.slice());
    },
    deleteBatch: async (keys) => {
      for (const key of keys) map.delete(hex(key));
    },
  };
}

/** The callbacks, with `before` awaited ahead of every write. It is given the write as [puts, deletes]. */
export function watched(callbacks, before) {
  return {
    ...callbacks,
    put: async (key, value) => {
      await before([[key, value.slice()]], []);
      await callbacks.put(key, value);
    },
    putBatch: async (entries) => {
      await before(
        entries.map(([key, value]) => [key, value.slice()]),
        [],
      );
      await callbacks.putBatch(entries);
    },
    deleteBatch: async (keys) => {
      await before([], keys);
      await callbacks.deleteBatch(keys);
    },
  };
}

/** Opens a database in a WASM instance of its own. all() returns rows as objects. */
export async function openPeer(callbacks) {
  const vfs = new SqliteVfs(wasm);
  const failures = [];
  const db = await vfs.open("main", { ...callbacks, onError: (error) => failures.push(error) });
  // SQLite only says "disk I/O error"; what the callback failed with is the reason.
  const named = async (call) => {
    try {
      return await call();
    } catch (error) {
      throw failures.length > 0 ? new Error(error.message, { cause: failures[0] }) : error;
    }
  };
  return {
    exec: (sql) => named(() => db.exec(sql)),
    run: (sql, params) => named(() => db.run(sql, params)),
    all: (sql) =>
      named(async () => {
        const { rows, columns } = await db.query(sql);
        return rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
      }),
    close: async () => {
      await db.close();
      await vfs.destroy();
    },
  };
}
