// Long batches are packed in pieces, and the engine runs the first while the next are packed.

import assert from "node:assert/strict";
import test from "node:test";
import { serve } from "./harness.mjs";

const s = serve();
const insert = "INSERT INTO t VALUES (?, ?)";
const n = 2000;

/** A batch of n INSERTs, one of which has this second parameter. */
const rows = (at, value) => Array.from({ length: n }, (_, i) => [insert, [i, i === at ? value : `row ${i}`]]);

/** The same; to read the parameter runs a function. */
function rowsWith(at, get) {
  const items = rows();
  Object.defineProperty(items[at][1], 1, { get });
  return items;
}

async function table(t, options) {
  const db = await s.open(t, options);
  await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
  return db;
}

const count = async (db) => (await db.get("SELECT count(*) AS n FROM t")).n;

/** Waits, on this thread, until so many statements have been run. */
function ran(db, wanted) {
  const until = performance.now() + 60_000;
  while (db.metrics().sql.statements < wanted) assert.ok(performance.now() < until, "nothing was run");
}

test("a long batch has begun before its last item is packed", async (t) => {
  const db = await table(t);
  const before = db.metrics().sql.statements;
  const results = await db.batch(
    rowsWith(n - 1, () => {
      ran(db, before + 1000);
      return "the last";
    }),
  );
  assert.deepEqual(
    results,
    Array.from({ length: n }, (_, i) => ({ changes: 1, lastInsertRowid: i })),
  );
  assert.deepEqual(await db.get("SELECT count(*) AS n, max(v) AS v FROM t"), { n, v: "the last" });
});

test("a long batch is all or nothing, whichever of its parameters cannot be bound (I3)", async (t) => {
  const db = await table(t);
  for (const at of [0, 127, 128, 1000, n - 1]) {
    await assert.rejects(db.batch(rows(at, Number.NaN)), { name: "TypeError", message: /^parameter 2: NaN/ });
    await assert.rejects(db.batch(rows(at, new Date(0))), { name: "TypeError", message: /^parameter 2: / });
    const missing = rows();
    missing[at] = undefined;
    await assert.rejects(db.batch(missing), {
      name: "TypeError",
      message: `batch: item ${at + 1} is neither SQL text nor [sql, params]`,
    });
    assert.equal(await count(db), 0);
  }
  await db.transaction(async (tx) => {
    await tx.run(insert, [-1, "before"]);
    for (let again = 0; again < 20; again++) await assert.rejects(tx.batch(rows(1500, Number.NaN)), TypeError);
    await tx.batch(rows());
  });
  assert.equal(await count(db), n + 1);
});

test("a long batch names the statement that fails, though later ones were still packed", async (t) => {
  const db = await table(t);
  for (const at of [2, 200, n - 1]) {
    const items = rows();
    items[at] = [insert, [0, "again"]];
    await assert.rejects(db.batch(items), {
      code: "SQLITE_CONSTRAINT_PRIMARYKEY",
      message: new RegExp(`batch statement ${at + 1}: UNIQUE`),
    });
    assert.equal(await count(db), 0);
  }
});

test("calls behind a long batch find what it has written", async (t) => {
  const db = await table(t);
  const before = db.run(insert, [-2, "before"]);
  const batch = db.batch(rows());
  const behind = db.batch([["UPDATE t SET v = ? WHERE id = ?", ["behind", n - 1]]]);
  const read = count(db);
  await Promise.all([before, batch, behind]);
  assert.equal(await read, n + 1);
  assert.deepEqual(await db.get("SELECT v FROM t WHERE id = ?", [n - 1]), { v: "behind" });
});

test("pieces of long texts, of blobs, and of more statements than are cached", async (t) => {
  const db = await table(t, { cachedStatements: 5 });
  const value = (i) => (i % 7 === 0 ? new Uint8Array([i & 255]) : `${i}\u00e9`.repeat(i % 50 === 0 ? 20_000 : 3));
  const items = Array.from({ length: 600 }, (_, i) => [
    `INSERT INTO t VALUES (?, ?) RETURNING id AS c${i % 9}`,
    [i, value(i)],
  ]);
  const results = await db.batch(items);
  for (const [i, { rows }] of results.entries()) assert.deepEqual(rows, [{ [`c${i % 9}`]: i }]);
  const stored = await db.all("SELECT v FROM t ORDER BY id");
  assert.equal(stored.length, items.length);
  for (const [i, { v }] of stored.entries()) assert.deepEqual(v, value(i));
});

test("code that runs while a long batch is packed may not wait for it, but call what does not wait", async (t) => {
  const db = await table(t);
  const prepared = db.prepare("SELECT count(*) AS n FROM t");
  const waiting = {
    getSync: () => db.getSync("SELECT 1"),
    statement: () => prepared.getSync(),
    batchSync: () => db.batchSync([[insert, [-1, "inner"]]]),
    transactionSync: () => db.transactionSync(() => {}),
    iterateSync: () => db.iterateSync("SELECT 1").next(),
    closeSync: () => db.closeSync(),
  };
  for (const [name, call] of Object.entries(waiting)) {
    await assert.rejects(
      db.batch(rowsWith(1000, call)),
      { code: "busy", message: /a batch whose parameters are being read/ },
      name,
    );
    assert.equal(await count(db), 0);
  }
  let read;
  let inner;
  const items = rowsWith(1000, () => {
    read ??= count(db);
    inner ??= db.batch([[insert, [-1, "inner"]]]);
    return "outer";
  });
  await db.batch(items);
  assert.equal(await read, n);
  assert.equal((await inner)[0].changes, 1);
  assert.deepEqual(prepared.getSync(), { n: n + 1 });
});

test("named parameters of a long batch may be read from the database", async (t) => {
  const db = await table(t);
  const named = {
    get v() {
      return db.getSync("SELECT 'read' AS v").v;
    },
  };
  const items = rows();
  items[1000] = ["INSERT INTO t VALUES (-1, $v)", named];
  await db.batch(items);
  assert.deepEqual(await db.get("SELECT v FROM t WHERE id = -1"), { v: "read" });
});

test("a database that is closed while a long batch is packed", async (t) => {
  const db = await table(t);
  let closed;
  const batch = db.batch(
    rowsWith(1000, () => {
      closed ??= db.close();
      return "closing";
    }),
  );
  await assert.rejects(batch, { code: "closed" });
  await closed;
});
