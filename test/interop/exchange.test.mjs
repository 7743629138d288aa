// Databases that Pagewire and @rivetkit/sqlite-vfs write in turns, byte for byte in one layout.

import assert from "node:assert/strict";
import test from "node:test";
import { databaseOf, PAGE } from "./layout.mjs";
import { sides } from "./sides.mjs";

const { here, there, agree, stored } = sides();

// Around every boundary of chunks, pages and overflow chains.
const lengths = [1, 4095, 4096, 4097, 8191, 8192, 8193, 12287, 12288, 12289, 16383, 16384, 16385, 32767, 32768, 32769];

// Bytes that tell their place, so that a chunk that is shifted or swapped shows.
function blobOf(length, seed) {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = seed; i < length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

const schema = `
  CREATE TABLE payloads (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, b BLOB, t TEXT);
  CREATE INDEX payloads_by_text ON payloads (t, n);
  CREATE UNIQUE INDEX payloads_by_length ON payloads (n) WHERE n > 0;
  CREATE TABLE words (word TEXT PRIMARY KEY, v) WITHOUT ROWID;
  CREATE TABLE "named ""oddly"" 表" ("ключ" INTEGER PRIMARY KEY AUTOINCREMENT, "value" ANY, twice AS (2 * "value"));
  CREATE INDEX by_expression ON words (length(word), word DESC);
  CREATE VIEW long_ones AS SELECT id, n FROM payloads WHERE n > 8192;
  CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER) STRICT;
  CREATE TRIGGER counted AFTER INSERT ON payloads BEGIN
    INSERT INTO counts VALUES ('payloads', 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
  END;`;

// NULs are made in SQL, because the peer's own interface cuts text at the first.
const odd = `
  INSERT INTO words VALUES ('naïve', 1), ('日本語', 2), ('emoji 🐘🏳️‍🌈', 3), ('', 4), ('שלום', NULL),
    (char(97, 0, 98), 'a NUL inside'), (char(0), x'00'), ('nuls' || char(0, 0, 0), x'000000'),
    ('max', 9223372036854775807), ('min', -9223372036854775808), ('unsafe', 9007199254740993),
    ('real', 0.1), ('tiny', 5e-324), ('huge', 1.7976931348623157e308), ('inf', 9e999), ('minus zero', -0.0), ('empty', x'');
  INSERT INTO "named ""oddly"" 表" ("value") VALUES (21), ('x'), (NULL), (1.5), (x'ff00');`;

async function fill(db) {
  await db.exec(schema);
  await db.exec("BEGIN");
  for (const [i, length] of lengths.entries()) {
    const text = "añb".repeat(length).slice(0, length);
    await db.run("INSERT INTO payloads (n, b, t) VALUES (?, ?, ?)", [length, blobOf(length, i + 1), text]);
  }
  await db.exec(`${odd} COMMIT`);
}

// Moves every payload over another boundary and makes pages free and full again.
async function modify(db, seed) {
  await db.exec("BEGIN; UPDATE payloads SET n = -n; DELETE FROM words WHERE length(word) > 5");
  for (const [i, length] of lengths.entries()) {
    const next = lengths[(i + 5) % lengths.length];
    await db.run("UPDATE payloads SET n = ?, b = ?, t = ? WHERE id = ?", [
      next,
      blobOf(next, seed + i),
      `${seed} ${"é".repeat(length)}`,
      i + 1,
    ]);
  }
  await db.exec("COMMIT");
  await db.exec("DELETE FROM payloads WHERE id % 5 = 0; CREATE TABLE IF NOT EXISTS more (a, b); ANALYZE");
  await db.exec("BEGIN");
  for (let i = 0; i < 50; i++) await db.run("INSERT INTO more VALUES (?, ?)", [`${seed}-${i}`, blobOf(i * 50, i)]);
  await db.exec("COMMIT; DROP INDEX IF EXISTS more_by_b; CREATE INDEX more_by_b ON more (b, a)");
  await db.run("REPLACE INTO words VALUES (?, ?)", ["seed", seed]);
}

// What was asked for, not only that both sides say the same.
async function checkPayloads(db) {
  const rows = await db.all("SELECT n, b, CAST(t AS BLOB) AS t FROM payloads ORDER BY id");
  assert.equal(rows.length, lengths.length);
  for (const [i, length] of lengths.entries()) {
    assert.equal(rows[i].n, length);
    assert.ok(Buffer.from(rows[i].b).equals(blobOf(length, i + 1)), `blob of ${length} bytes`);
    assert.equal(Buffer.from(rows[i].t).toString("utf8"), "añb".repeat(length).slice(0, length));
  }
  const nuls = await db.all("SELECT hex(word) AS h FROM words WHERE instr(CAST(word AS BLOB), x'00') ORDER BY 1");
  assert.deepEqual(
    nuls.map(({ h }) => h),
    ["00", "610062", "6E756C73000000"],
  );
}

test("written there, read and modified here, read there", async () => {
  await there("from-there", fill);
  await agree("from-there");
  await here("from-there", checkPayloads);
  await here("from-there", (db) => modify(db, 7));
  await agree("from-there");
  await there("from-there", (db) => modify(db, 70));
  await agree("from-there");
});

test("written here, read and modified there, read here", async () => {
  await here("from-here", fill);
  await agree("from-here");
  await there("from-here", checkPayloads);
  await there("from-here", (db) => modify(db, 11));
  await agree("from-here");
  await here("from-here", (db) => modify(db, 110));
  await agree("from-here");
});

test("the same statements give the same bytes on either side", async () => {
  await there("same-there", fill);
  await here("same-here", fill);
  const one = databaseOf(await stored("same-there"));
  const other = databaseOf(await stored("same-here"));
  assert.equal(other.length, one.length);
  // The header counts changes and names the version of SQLite that made the last.
  one.fill(0, 24, 28).fill(0, 92, 100);
  other.fill(0, 24, 28).fill(0, 92, 100);
  // The peer begins with a page that it holds ready, where SQLite itself begins with nothing: format and schema cookies.
  for (const image of [one, other]) image.fill(0, 40, 48);
  for (let at = 0; at < one.length; at += PAGE) {
    assert.ok(one.subarray(at, at + PAGE).equals(other.subarray(at, at + PAGE)), `page ${at / PAGE + 1} differs`);
  }
});

test("what one side deletes and vacuums away, the other grows again, in turns", async () => {
  const actor = "breathing";
  const sizeOf = async () => databaseOf(await stored(actor)).length;
  await there(actor, fill);
  let size = await sizeOf();
  for (const [shrinks, grows] of [
    [here, there],
    [there, here],
    [here, here],
    [there, there],
    [here, there],
  ]) {
    await shrinks(actor, async (db) => {
      await db.exec("DELETE FROM payloads WHERE id > 2");
      await db.exec("VACUUM");
    });
    await agree(actor);
    const shrunk = await sizeOf();
    assert.ok(shrunk < size / 2, `${size} bytes shrank to ${shrunk}`);
    await grows(actor, async (db) => {
      await db.exec(`WITH RECURSIVE c (n) AS (SELECT 100000 UNION ALL SELECT n + 1 FROM c WHERE n < 100200)
        INSERT INTO payloads (n, b, t) SELECT n, zeroblob(n % 9000), printf('%d %.*c', n, n % 500, 'x') FROM c`);
    });
    await agree(actor);
    size = await sizeOf();
    assert.ok(size > shrunk * 2, `${shrunk} bytes grew to ${size}`);
    // Freed pages stay in the file and are used again by the other side.
    await shrinks(actor, (db) => db.exec("DELETE FROM payloads WHERE n % 2 = 0 AND n >= 100000"));
    await agree(actor);
    await grows(actor, (db) => db.exec("UPDATE payloads SET b = zeroblob(length(b) + 5000) WHERE n >= 100000"));
    await agree(actor);
  }
});

test("one transaction larger than the peer's 127 pages, on either side", async () => {
  const many = `WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 400)
    INSERT INTO big SELECT n, randomblob(3000) FROM c`;
  await there("large", (db) => db.exec(`CREATE TABLE big (id INTEGER PRIMARY KEY, v BLOB); ${many}`));
  await agree("large");
  await here("large", (db) =>
    db.exec("UPDATE big SET v = randomblob(3500) WHERE id % 2; DELETE FROM big WHERE id > 390"),
  );
  await agree("large");
  await there("large", (db) => db.exec("UPDATE big SET v = randomblob(3900)"));
  await agree("large");
});

test("a transaction rolled back on either side changes no byte", async () => {
  await there("undone", fill);
  const before = databaseOf(await stored("undone"));
  for (const side of [here, there]) {
    await side("undone", (db) => db.exec("BEGIN; DELETE FROM payloads; DROP TABLE words; ROLLBACK"));
    assert.ok(databaseOf(await stored("undone")).equals(before));
  }
  await agree("undone");
});
