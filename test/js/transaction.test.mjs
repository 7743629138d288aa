// Transactions: exclusive, nested, undone on failure, dead afterwards; nothing waits for ever.

import assert from "node:assert/strict";
import test from "node:test";
import { serve } from "./harness.mjs";

const s = serve();
const count = async (db) => (await db.get("SELECT count(*) AS n FROM t")).n;

async function open(t) {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)");
  return db;
}

test("commits what the callback did, and resolves to its result", async (t) => {
  const db = await open(t);
  const result = await db.transaction(async (tx) => {
    await tx.run("INSERT INTO t (v) VALUES (?)", [1]);
    const insert = tx.prepare("INSERT INTO t (v) VALUES (?)");
    await insert.run([2]);
    await tx.batch([["INSERT INTO t (v) VALUES (?)", [3]], "INSERT INTO t (v) VALUES (4)"]);
    const seen = [];
    for await (const row of tx.iterate("SELECT v FROM t ORDER BY v")) seen.push(row.v);
    return seen;
  });
  assert.deepEqual(result, [1, 2, 3, 4]);
  assert.equal(await count(db), 4);
});

test("rolls back when the callback throws, and rejects with what it threw", async (t) => {
  const db = await open(t);
  const boom = new Error("boom");
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.run("INSERT INTO t (v) VALUES (1)");
      throw boom;
    }),
    boom,
  );
  assert.equal(await count(db), 0);
  assert.throws(
    () =>
      db.transactionSync((tx) => {
        tx.runSync("INSERT INTO t (v) VALUES (1)");
        throw boom;
      }),
    boom,
  );
  assert.equal(await count(db), 0);
});

test("other calls wait for it, in their order", async (t) => {
  const db = await open(t);
  const order = [];
  const note = (what) => () => order.push(what);
  let go;
  const started = new Promise((resolve) => {
    go = resolve;
  });
  const first = db.transaction(async (tx) => {
    await started;
    await tx.run("INSERT INTO t (v) VALUES (1)");
    order.push("first");
    throw new Error("undone");
  });
  const waiting = [
    count(db).then((n) => order.push(`count ${n}`)),
    db.run("INSERT INTO t (v) VALUES (2)").then(note("insert")),
    db.transaction(async (tx) => order.push(`second sees ${await count(tx)}`)),
    db.exec("INSERT INTO t (v) VALUES (3)").then(note("exec")),
  ];
  assert.throws(() => db.getSync("SELECT 1"), { code: "busy" });
  go();
  await assert.rejects(first, /undone/);
  await Promise.all(waiting);
  // What each saw tells in which order they ran. That they are told in this order is not promised: one acknowledgement may
  // answer several, and a call that is done at once may leave the event loop its turn first.
  assert.equal(order[0], "first");
  assert.deepEqual(order.toSorted(), ["count 0", "exec", "first", "insert", "second sees 1"]);
  assert.equal(await count(db), 2);
});

test("nested transactions are savepoints", async (t) => {
  const db = await open(t);
  await db.transaction(async (tx) => {
    await tx.run("INSERT INTO t (v) VALUES (1)");
    await assert.rejects(
      tx.transaction(async (inner) => {
        await inner.run("INSERT INTO t (v) VALUES (2)");
        await inner.transaction((innermost) => innermost.run("INSERT INTO t (v) VALUES (3)"));
        assert.equal(await count(inner), 3);
        throw new Error("inner");
      }),
      /inner/,
    );
    await tx.transaction((inner) => inner.run("INSERT INTO t (v) VALUES (4)"));
  });
  assert.deepEqual(await db.all("SELECT v FROM t"), [{ v: 1 }, { v: 4 }]);
  db.transactionSync((tx) => {
    tx.runSync("INSERT INTO t (v) VALUES (5)");
    assert.throws(() => tx.transactionSync((inner) => inner.runSync("INSERT INTO t (v) VALUES (5)")), {
      code: "SQLITE_CONSTRAINT_UNIQUE",
    });
  });
  assert.equal(await count(db), 3);
});

test("an error inside may be caught, and the transaction goes on", async (t) => {
  const db = await open(t);
  await db.transaction(async (tx) => {
    await tx.run("INSERT INTO t (v) VALUES (1)");
    await assert.rejects(tx.run("INSERT INTO t (v) VALUES (1)"), { code: "SQLITE_CONSTRAINT_UNIQUE" });
    await tx.run("INSERT INTO t (v) VALUES (2)");
  });
  assert.equal(await count(db), 2);
});

test("a transaction that SQLite rolled back takes no more statements", async (t) => {
  const db = await open(t);
  await db.run("INSERT INTO t (v) VALUES (1)");
  await assert.rejects(
    db.transaction(async (tx) => {
      const results = await Promise.allSettled([
        tx.run("INSERT INTO t (v) VALUES (2)"),
        tx.run("INSERT OR ROLLBACK INTO t (v) VALUES (1)"),
        tx.run("INSERT INTO t (v) VALUES (3)"), // on its way already when the one before fails
      ]);
      assert.deepEqual(
        results.map((r) => r.reason?.code),
        [undefined, "SQLITE_CONSTRAINT_UNIQUE", "transaction_lost"],
      );
    }),
    { code: "transaction_lost" },
  );
  assert.deepEqual(await db.all("SELECT v FROM t"), [{ v: 1 }]);
});

test("the tx object is dead afterwards", async (t) => {
  const db = await open(t);
  let dead;
  let stmt;
  let rows;
  await db.transaction(async (tx) => {
    dead = tx;
    stmt = tx.prepare("SELECT 1");
    rows = tx.iterate("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n");
    await rows.next();
  });
  const ended = { name: "PagewireError", code: "transaction_closed" };
  await assert.rejects(dead.run("SELECT 1"), ended);
  await assert.rejects(
    dead.transaction(() => {}),
    ended,
  );
  await assert.rejects(stmt.get(), ended);
  assert.throws(() => dead.getSync("SELECT 1"), ended);
  for (let i = 1; i < 32; i++) await rows.next(); // fetched before the end
  await assert.rejects(rows.next(), ended);
});

test("a call on the database inside its own transaction is refused, not stuck", async (t) => {
  const db = await open(t);
  await db.transaction(async (tx) => {
    await tx.run("INSERT INTO t (v) VALUES (1)");
    const deadlock = { code: "transaction_deadlock" };
    await assert.rejects(db.run("INSERT INTO t (v) VALUES (2)"), deadlock);
    await assert.rejects(
      db.transaction(() => {}),
      deadlock,
    );
    await tx.transaction(async (inner) => {
      await assert.rejects(tx.run("SELECT 1"), deadlock);
      await assert.rejects(db.get("SELECT 1"), deadlock);
      await inner.run("INSERT INTO t (v) VALUES (3)");
    });
  });
  assert.equal(await count(db), 2);
});

test("waiting for a transaction ends with a timeout or an abort", async (t) => {
  const db = await open(t);
  let end;
  const endless = db.transaction(() => new Promise((resolve) => (end = resolve)));
  await assert.rejects(db.get("SELECT 1", [], { timeout: 10 }), {
    code: "timeout",
    message: /waited 10 ms for the transaction/,
  });
  const controller = new AbortController();
  const aborted = db.get("SELECT 1", [], { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(aborted, { code: "aborted" });
  const closing = db.close();
  await assert.rejects(
    db.transaction(() => {}, { timeout: 10 }),
    { code: "timeout" },
  );
  end();
  await endless;
  await closing;
});

test("transactionSync refuses an async function", async (t) => {
  const db = await open(t);
  assert.throws(() => db.transactionSync(async (tx) => tx.runSync("INSERT INTO t (v) VALUES (1)")), {
    name: "TypeError",
    message: /use transaction\(\)/,
  });
  assert.equal(await count(db), 0);
});
