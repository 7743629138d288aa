// @tursodatabase/database: the rewrite of SQLite in Rust, through its promise interface.

import { connect } from "@tursodatabase/database";
import { files, pragmas } from "./local.mjs";

export default async function create({ dir, variant }) {
  const place = files(dir, variant);
  async function open(name) {
    const db = await connect(place.path(name));
    for (const sql of pragmas(place.synchronous)) await (await db.prepare(sql)).all();
    const statements = new Map();
    const prepared = async (sql) => {
      let statement = statements.get(sql);
      if (statement === undefined) {
        statement = await db.prepare(sql);
        statements.set(sql, statement);
      }
      return statement;
    };
    const runner = {
      exec: (sql) => db.exec(sql),
      run: async (sql, params = []) => (await prepared(sql)).run(...params),
      get: async (sql, params = []) => (await prepared(sql)).get(...params),
      all: async (sql, params = []) => (await prepared(sql)).all(...params),
    };
    const transaction = async (fn) => {
      await db.exec("BEGIN");
      await fn(runner);
      await db.exec("COMMIT");
    };
    return {
      ...runner,
      prepare: async (sql) => {
        const statement = await prepared(sql);
        return {
          get: (params) => statement.get(...params),
          all: (params) => statement.all(...params),
          run: (params) => statement.run(...params),
        };
      },
      transaction,
      batch: (items) =>
        transaction(async () => {
          for (const [sql, params] of items) await runner.run(sql, params);
        }),
      close: () => db.close(),
    };
  }
  return {
    open,
    remove: async (name) => place.remove(name),
  };
}
