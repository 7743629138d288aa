// Transactions and iterations used in ways that cannot work: each is told so, and the database goes on.

import assert from "node:assert/strict";
import test from "node:test";
import { serve } from "../js/harness.mjs";

const s = serve({ token: "secret-of-this-test" });

async function table(t) {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v); INSERT INTO t VALUES ('kept')");
  return db;
}

async function intact(db) {
  assert.deepEqual(await db.all("SELECT * FROM t"), [{ v: "kept" }]);
  await db.transaction((tx) => tx.run("UPDATE t SET v = v"));
}

test("the database used inside its own transaction's callback is refused, for it would wait for itself", async (t) => {
  const db = await table(t);
  const deadlock = { name: "PagewireError", code: "transaction_deadlock", message: /tx/ };
  const insert = "INSERT INTO t VALUES ('no')";
  const statement = db.prepare(insert);
  const calls = [
    () => db.run(insert),
    () => db.exec(insert),
    () => db.batch([insert]),
    () => statement.run(),
    () => db.iterate(insert).next(),
    () => db.transaction((tx) => tx.run(insert)),
    () => db.close(),
    () => db.channel.close(),
  ];
  for (const call of calls) {
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.run(insert);
        await assert.rejects(call, deadlock, String(call));
        await call();
      }),
      deadlock,
      String(call),
    );
    await intact(db);
  }
  await assert.rejects(
    db.transaction(() => db.runSync(insert)),
    { code: "busy", message: /tx|transaction/ },
  );
  await db.transaction(async (tx) => {
    await assert.rejects(
      tx.transaction(async () => tx.run(insert)),
      deadlock,
    );
  });
  await intact(db);
});

test("a transaction's object is refused after its end, however it ended", async (t) => {
  const db = await table(t);
  const kept = [];
  await db.transaction((tx) => {
    kept.push(tx, tx.prepare("SELECT 1"), tx.iterate("SELECT 1"));
  });
  await assert.rejects(
    db.transaction((tx) => {
      kept.push(tx);
      throw new Error("rolled back");
    }),
    { message: "rolled back" },
  );
  db.transactionSync((tx) => {
    kept.push(tx);
  });
  const closed = { name: "PagewireError", code: "transaction_closed" };
  const [tx, statement, rows, ...others] = kept;
  await assert.rejects(statement.all(), closed);
  await assert.rejects(rows.next(), closed);
  for (const each of [tx, ...others]) {
    await assert.rejects(each.run("INSERT INTO t VALUES ('no')"), closed);
    await assert.rejects(each.batch(["INSERT INTO t VALUES ('no')"]), closed);
    await assert.rejects(
      each.transaction((inner) => inner.run("SELECT 1")),
      closed,
    );
    assert.throws(() => each.runSync("INSERT INTO t VALUES ('no')"), closed);
  }
  await intact(db);
});

test("calls that a callback does not wait for never end up outside its transaction (I3)", async (t) => {
  const db = await table(t);
  let late;
  await assert.rejects(
    db.transaction((tx) => {
      late = Promise.allSettled([
        tx.run("INSERT INTO t VALUES ('no')"),
        new Promise((resolve) => setImmediate(resolve)).then(() => tx.run("INSERT INTO t VALUES ('no')")),
      ]);
      throw new Error("rolled back");
    }),
    { message: "rolled back" },
  );
  const [, second] = await late;
  assert.equal(second.reason.code, "transaction_closed");
  await intact(db);
});

test("transaction statements outside transaction() do not tear one apart", async (t) => {
  const db = await table(t);
  await assert.rejects(db.run("COMMIT"), { code: "SQLITE_ERROR" });
  await assert.rejects(db.run("ROLLBACK"), { code: "SQLITE_ERROR" });
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.run("INSERT INTO t VALUES ('no')");
      await tx.run("ROLLBACK");
      await tx.run("INSERT INTO t VALUES ('no')");
    }),
    { name: "PagewireError", code: "transaction_lost" },
  );
  await intact(db);
});

test("iterations abandoned early hold nothing up", async (t) => {
  const db = await table(t);
  await db.exec(`CREATE TABLE big (v);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO big SELECT i FROM n`);
  for await (const row of db.iterate("SELECT v FROM big")) if (row.v === 3) break;
  for (const row of db.iterateSync("SELECT v FROM big")) if (row.v === 3) break;
  await assert.rejects(
    async () => {
      for await (const _ of db.iterate("SELECT v FROM big")) throw new Error("amid the rows");
    },
    { message: "amid the rows" },
  );
  const [one, two, never] = [1, 2, 3].map(() => db.iterate("SELECT v FROM big"));
  assert.deepEqual((await one.next()).value, { v: 1 });
  await one.return();
  assert.deepEqual(await one.next(), { value: undefined, done: true });
  assert.deepEqual((await two.next()).value, { v: 1 }); // begun, and left as it is
  assert.ok(never);
  await db.run("DELETE FROM big WHERE v > 4000");
  await assert.rejects(db.exec("DROP TABLE big"), { code: "SQLITE_LOCKED" });
  await two.return();
  await db.exec("DROP TABLE big");
  await intact(db);
  // Many that nobody ends, as a program leaks them, and the close after them.
  for (let i = 0; i < 200; i++)
    await db
      .iterate("SELECT v FROM t, t")
      .next()
      .catch(() => {});
  await intact(db);
});

test("rows that a loop writes while it reads them do not end it, nor make it endless", async (t) => {
  const db = await table(t);
  await db.exec(`CREATE TABLE n (i INTEGER PRIMARY KEY);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO n SELECT i FROM n`);
  let seen = 0;
  for await (const { i } of db.iterate("SELECT i FROM n WHERE i <= 500")) {
    await db.run("INSERT INTO n VALUES (?)", [i + 1000]);
    seen++;
  }
  assert.equal(seen, 500);
  assert.deepEqual(await db.get("SELECT count(*) AS n FROM n"), { n: 1000 });
});
