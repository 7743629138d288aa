// What is not stored reads as zeros: a chunk that is shorter than a page, and one that is missing, of a main database and of
// a journal, whichever way its pages come (I9: absent and not fetched are never confused).

import assert from "node:assert/strict";
import test from "node:test";
import { contentsOf } from "./contents.mjs";
import { databaseOf, filesOf, imageOf, listAll, MAIN, PAGE } from "./layout.mjs";
import { contentsThere, sides } from "./sides.mjs";

const { here, there, stored, withKv } = sides();

// Overflow chains of zeros end in pages of nothing but zeros, and free pages hold few bytes of use.
const setUp = `CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);
  WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 60)
    INSERT INTO t SELECT n, CASE n % 3 WHEN 0 THEN zeroblob(n * 400) WHEN 1 THEN randomblob(n * 300) ELSE n END FROM c;
  CREATE TABLE gone AS SELECT randomblob(3000) AS v FROM t;
  CREATE INDEX by_value ON t (v);
  DROP TABLE gone;`;

// Cuts trailing zeros off every chunk, and deletes chunks that hold nothing else. Returns how many it cut and deleted.
async function cutZeros(kv) {
  const cut = [];
  const empty = [];
  for (const [key, value] of await listAll(kv)) {
    if (key.length !== 8) continue;
    let end = value.length;
    while (end > 0 && value[end - 1] === 0) end--;
    if (end === 0) empty.push(key);
    else if (end < value.length) cut.push([key, value.subarray(0, end)]);
  }
  for (const entry of cut) await kv.put([entry]);
  for (const key of empty) await kv.delete(key);
  return { cut: cut.length, deleted: empty.length };
}

const mainOf = (entries) => imageOf(filesOf(entries).get(MAIN));

for (const [name, side] of [
  ["here", here],
  ["there", there],
]) {
  test(`a database written ${name}, its trailing zeros cut off`, async () => {
    const actor = `cut ${name}`;
    await side(actor, (db) => db.exec(setUp));
    const whole = databaseOf(await stored(actor));
    const contents = await here(actor, contentsOf);
    const { cut, deleted } = await withKv(actor, cutZeros);
    assert.ok(cut > 10 && deleted > 5, `${cut} chunks cut, ${deleted} deleted`);
    assert.ok(mainOf(await stored(actor)).equals(whole), "it still stands for the same bytes");

    // Page by page, with what the server sends along, and with everything preloaded.
    for (const preload of [0, undefined, 1 << 20]) {
      assert.deepEqual(await here(actor, contentsOf, { preload }), contents, `preload ${preload}`);
      const sums = (db) => db.get("SELECT sum(length(v)) AS n, count(DISTINCT v) AS d FROM t");
      assert.deepEqual(await here(actor, sums, { preload }), await here(actor, sums));
    }
    assert.deepEqual(await contentsThere(await stored(actor)), contents);
    assert.ok(mainOf(await stored(actor)).equals(whole), "reading changed no byte");

    const change = `UPDATE t SET v = zeroblob(length(v) + 1) WHERE id % 2;
      INSERT INTO t SELECT id + 100, randomblob(2000) FROM t; DELETE FROM t WHERE id BETWEEN 20 AND 30`;
    await here(actor, (db) => db.exec(change));
    const changed = await here(actor, contentsOf);
    assert.deepEqual(await contentsThere(await stored(actor)), changed);
    await here(actor, (db) => db.exec("VACUUM"));
    assert.deepEqual(databaseOf(await stored(actor)).length % PAGE, 0);
    assert.deepEqual(await contentsThere(await stored(actor)), changed);
  });
}

test("chunks left past the end are not part of the database, and go with the next shrink or come back as zeros", async () => {
  const actor = "orphans";
  await there(actor, (db) => db.exec(setUp));
  const contents = await here(actor, contentsOf);
  const pages = databaseOf(await stored(actor)).length / PAGE;
  // As the peer leaves them when it is killed inside a truncation: the size first, the chunks later.
  await withKv(actor, async (kv) => {
    for (let index = pages; index < pages + 300; index += 50) {
      const key = Buffer.from([8, 1, 1, MAIN, 0, 0, 0, 0]);
      key.writeUInt32BE(index, 4);
      await kv.put([[key, Buffer.alloc(PAGE, 0xaa)]]);
    }
  });
  assert.deepEqual(await here(actor, contentsOf), contents);
  await here(actor, (db) =>
    db.exec("CREATE TABLE grown (v); INSERT INTO grown SELECT randomblob(20000) FROM t LIMIT 100"),
  );
  const grown = await here(actor, contentsOf);
  assert.deepEqual(await contentsThere(await stored(actor)), grown);
  databaseOf(await stored(actor));
});
