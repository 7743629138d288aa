// The storage layout (docs/storage-layout.md), read here without help of the code under test.

import assert from "node:assert/strict";

export const PAGE = 4096;
export const MAIN = 0;
export const JOURNAL = 1;

export const metaKey = (tag) => Buffer.from([8, 1, 0, tag]);
export const chunkKey = (tag, index) => {
  const key = Buffer.from([8, 1, 1, tag, 0, 0, 0, 0]);
  key.writeUInt32BE(index, 4);
  return key;
};
export const metaValue = (size) => {
  const value = Buffer.alloc(10);
  value.writeUInt16LE(1, 0);
  value.writeBigUInt64LE(BigInt(size), 2);
  return value;
};

/** All entries of an open key-value handle, in the order of their keys. */
export async function listAll(kv) {
  const all = [];
  let start;
  for (;;) {
    const { entries, more } = await kv.list({ start });
    all.push(...entries);
    if (!more) return all;
    start = Buffer.concat([entries.at(-1)[0], Buffer.alloc(1)]);
  }
}

/**
 * The files that entries hold, by tag: {size, chunks: Map from index to bytes}. Fails if a key or a value is anything but
 * metadata or a chunk of a file.
 */
export function filesOf(entries) {
  const files = new Map();
  const fileOf = (tag) => {
    if (!files.has(tag)) files.set(tag, { size: undefined, chunks: new Map() });
    return files.get(tag);
  };
  for (const [key, value] of entries) {
    const at = Buffer.from(key);
    const bytes = Buffer.from(value);
    const tag = at[3];
    assert.ok(tag <= 3, `key ${at.toString("hex")}: no such file`);
    if (at.equals(metaKey(tag))) {
      assert.equal(bytes.length, 10, "bytes of metadata");
      assert.equal(bytes.readUInt16LE(0), 1, "version of metadata");
      fileOf(tag).size = Number(bytes.readBigUInt64LE(2));
    } else {
      assert.equal(at.length, 8, `key ${at.toString("hex")} is neither metadata nor a chunk`);
      const index = at.readUInt32BE(4);
      assert.ok(at.equals(chunkKey(tag, index)), `key ${at.toString("hex")} is neither metadata nor a chunk`);
      assert.ok(bytes.length <= PAGE, `chunk ${index} has ${bytes.length} bytes`);
      fileOf(tag).chunks.set(index, bytes);
    }
  }
  return files;
}

/** A file's bytes: what is short or missing is zeros, what lies past the size is not part of it. */
export function imageOf({ size, chunks }) {
  const image = Buffer.alloc(size);
  for (const [index, bytes] of chunks) if (index * PAGE < size) bytes.copy(image, index * PAGE);
  return image;
}

/**
 * Checks, key for key, that entries are one database at rest and nothing else, and returns its bytes. A chunk may be
 * missing only where SQLite never wrote the page because it was free already. untruncated allows a file longer than its
 * database, as a kill between SQLite's commit and its truncation of the file leaves it.
 */
export function databaseOf(entries, { untruncated = false } = {}) {
  const files = filesOf(entries);
  assert.deepEqual([...files.keys()].sort(), [MAIN], "files stored");
  const main = files.get(MAIN);
  assert.ok(main.size > 0 && main.size % PAGE === 0, `a size of ${main.size} bytes`);
  const pages = main.size / PAGE;
  for (const [index, bytes] of main.chunks) {
    assert.ok(index < pages, `chunk ${index} lies past the end, ${pages} pages`);
    assert.equal(bytes.length, PAGE, `bytes of chunk ${index}`);
  }
  const image = imageOf(main);
  assert.equal(image.toString("latin1", 0, 16), "SQLite format 3\0");
  assert.equal(image.readUInt16BE(16), PAGE, "page size");
  const used = image.readUInt32BE(28);
  assert.ok(used === pages || (untruncated && used < pages), `${pages} pages, by the database's header ${used}`);
  assert.ok(pages - main.chunks.size <= image.readUInt32BE(36), "chunks missing, but fewer pages are free");
  return image;
}
