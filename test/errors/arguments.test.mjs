// Arguments that cannot be used are refused before anything is run, and name what is wrong with them.

import assert from "node:assert/strict";
import test from "node:test";
import { connect, connectSync, PagewireError } from "pagewire";
import { startServer } from "pagewire/server";
import { serve } from "../js/harness.mjs";

const s = serve({ token: "secret-of-this-test" });

async function table(t) {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v ANY) STRICT");
  await db.run("INSERT INTO t VALUES (1, 'kept')");
  return db;
}

/** Nothing was lost, and the database goes on. */
async function intact(db) {
  assert.deepEqual(await db.all("SELECT * FROM t"), [{ id: 1, v: "kept" }]);
  await db.transaction((tx) => tx.run("UPDATE t SET v = v"));
}

// Every way to run a statement with parameters.
const ways = {
  run: (db, sql, params) => db.run(sql, params),
  get: (db, sql, params) => db.get(sql, params),
  all: (db, sql, params) => db.all(sql, params),
  batch: (db, sql, params) => db.batch([["SELECT 1"], [sql, params]]),
  iterate: (db, sql, params) => db.iterate(sql, params).next(),
  statement: (db, sql, params) => db.prepare(sql).all(params),
  transaction: (db, sql, params) => db.transaction((tx) => tx.run(sql, params)),
  runSync: async (db, sql, params) => db.runSync(sql, params),
  batchSync: async (db, sql, params) => db.batchSync([["SELECT 1"], [sql, params]]),
};
const insert = "INSERT INTO t (v) VALUES (?)";

test("an option that does not exist is refused, for it may be a misspelt one", async () => {
  const { url } = s.server;
  const refused = (call, name) => ({
    name: "TypeError",
    message: new RegExp(`^${call}: there is no option "${name}"; there are .*`),
  });
  await assert.rejects(startServer({ data: "where nothing would be kept" }), refused("startServer", "data"));
  await assert.rejects(connect({ url, authToken: "secret" }), (error) => {
    assert.doesNotMatch(error.message, /secret/);
    return refused("connect", "authToken").message.test(error.message);
  });
  assert.throws(() => connectSync({ url, namespaces: "n" }), refused("connect", "namespaces"));
  await assert.rejects(s.channel.open("a", { rowmode: "array" }), refused("open", "rowmode"));
  assert.throws(() => s.channel.openSync("a", { wait: 1 }), refused("open", "wait"));
  await assert.rejects(s.channel.kv("a").open({ preloads: [] }), refused("kv.open", "preloads"));
  await (await s.channel.open("a")).close(); // nothing has locked it
});

test("values that cannot be bound are TypeErrors that name the parameter", async (t) => {
  const db = await table(t);
  const bad = {
    undefined: undefined,
    NaN: Number.NaN,
    "a Date": new Date(0),
    "a function": () => 1,
    "a symbol": Symbol("s"),
    "an object": { a: 1 },
    "an Array": [1],
    "a bigint": 2n ** 63n,
    surrogate: "\ud800",
    ArrayBuffer: new ArrayBuffer(8),
    Float64Array: new Float64Array(1),
    Promise: Promise.resolve(1),
  };
  for (const [what, value] of Object.entries(bad)) {
    for (const [way, run] of Object.entries(ways)) {
      const refused = { name: "TypeError", message: new RegExp(`^parameter 1: .*${what}`) };
      await assert.rejects(run(db, insert, [value]), refused, `${way} with ${what}`);
    }
    const named = { name: "TypeError", message: new RegExp(`^parameter "v": .*${what}`) };
    await assert.rejects(db.run("INSERT INTO t (v) VALUES (:v)", { v: value }), named);
    await assert.rejects(db.run("SELECT ?, ?, ?", [1, 2, value]), { message: /^parameter 3: / });
  }
  await intact(db);
});

test("parameters of a wrong count or name are refused, and say which", async (t) => {
  const db = await table(t);
  for (const [way, run] of Object.entries(ways)) {
    for (const params of [[], [1, 2], undefined]) {
      await assert.rejects(run(db, insert, params), { name: "PagewireError", code: "parameter" }, way);
    }
    await assert.rejects(run(db, "SELECT :a, :b", { a: 1 }), { code: "parameter", message: /:?b\b/ }, way);
    await assert.rejects(run(db, "SELECT :a", { a: 1, unknown: 2 }), { code: "parameter", message: /unknown/ }, way);
  }
  for (const params of ["text", 7, new Map(), null, new Date(0), () => 1]) {
    await assert.rejects(db.run(insert, params), { name: "TypeError", message: /params/ }, String(params));
    assert.throws(() => db.runSync(insert, params), { name: "TypeError", message: /params/ }, String(params));
  }
  await intact(db);
});

test("what is no SQL text, no function, no option is a TypeError", async (t) => {
  const db = await table(t);
  for (const sql of [undefined, null, 7, {}, Buffer.from("SELECT 1")]) {
    for (const call of [
      () => db.run(sql),
      () => db.exec(sql),
      async () => db.runSync(sql),
      async () => db.prepare(sql),
    ]) {
      await assert.rejects(call, { name: "TypeError", message: /sql/ });
    }
    await assert.rejects(db.batch([[sql, []]]), { name: "TypeError", message: /item 1/ });
  }
  await assert.rejects(db.batch("SELECT 1"), TypeError);
  await assert.rejects(db.transaction("SELECT 1"), TypeError);
  for (const timeout of [-1, 0.5, Number.NaN, "1", 2 ** 31]) {
    await assert.rejects(db.all("SELECT 1", [], { timeout }), { name: "TypeError", message: /timeout/ });
    assert.throws(() => db.allSync("SELECT 1", [], { timeout }), { name: "TypeError", message: /timeout/ });
  }
  await assert.rejects(db.all("SELECT 1", [], { rowMode: "columns" }), { name: "TypeError", message: /rowMode/ });
  await assert.rejects(db.all("SELECT 1", [], { integers: "text" }), { name: "TypeError", message: /integers/ });
  await assert.rejects(s.channel.open(7), { name: "TypeError", message: /actor/ });
  await assert.rejects(s.channel.open("x", { mode: "steal" }), { code: "bad_request", message: /steal/ });
  await assert.rejects(s.channel.open("x", { mode: "wait", waitMs: -1 }), { code: "bad_request", message: /waitMs/ });
  await intact(db);
});

test("SQL errors carry SQLite's code, its name, the text and the place", async (t) => {
  const db = await table(t);
  await db.exec("CREATE TABLE u (k TEXT NOT NULL UNIQUE CHECK (k <> 'no')); INSERT INTO u VALUES ('a')");
  const cases = [
    ["SELEC 1", "SQLITE_ERROR", 1, 0],
    ["SELECT 1 FRM t", "SQLITE_ERROR", 1, 13],
    ["SELECT nothing FROM t", "SQLITE_ERROR", 1, 7],
    ["SELECT 'ä€😀', nothing FROM t", "SQLITE_ERROR", 1, 15],
    ["SELECT * FROM missing", "SQLITE_ERROR", 1, undefined],
    ["INSERT INTO u VALUES ('a')", "SQLITE_CONSTRAINT_UNIQUE", 2067, undefined],
    ["INSERT INTO u VALUES (NULL)", "SQLITE_CONSTRAINT_NOTNULL", 1299, undefined],
    ["INSERT INTO u VALUES ('no')", "SQLITE_CONSTRAINT_CHECK", 275, undefined],
    ["INSERT INTO t VALUES (1, 2)", "SQLITE_CONSTRAINT_PRIMARYKEY", 1555, undefined],
    ["INSERT INTO t VALUES ('x', 2)", "SQLITE_MISMATCH", 20, undefined],
    ["SELECT json('{')", "SQLITE_ERROR", 1, undefined],
    ["SELECT zeroblob(2000000000)", "SQLITE_TOOBIG", 18, undefined],
  ];
  for (const [sql, code, sqliteCode, offset] of cases) {
    for (const way of ["run", "all", "batch", "statement", "iterate", "transaction", "runSync"]) {
      const error = await ways[way](db, sql).catch((e) => e);
      assert.ok(error instanceof PagewireError, `${way}: ${sql}`);
      assert.deepEqual(
        [error.code, error.sqliteCodeName, error.sqliteCode],
        [code, code, sqliteCode],
        `${way}: ${sql}`,
      );
      if (way === "batch") continue; // which of its texts it was is said in the message
      assert.equal(error.sql, sql, way);
      assert.equal(error.offset, offset, `${way}: ${sql}`);
    }
  }
  const batch = await db.batch(["INSERT INTO t VALUES (5, 5)", "INSERT INTO u VALUES ('a')"]).catch((e) => e);
  assert.equal(batch.code, "SQLITE_CONSTRAINT_UNIQUE");
  await intact(db);
});
