// What the adapters of synchronous libraries share (better-sqlite3, node:sqlite, libsql): their interfaces have one shape.
// Statements are prepared once for each text and kept, as their users do. Files use WAL.

import { rmSync } from "node:fs";
import { join } from "node:path";

/** Where a local database is: a file of this directory, or memory. */
function files(dir, variant) {
  const memory = variant === "memory";
  return {
    path: (name) => (memory ? ":memory:" : join(dir, `${name}.db`)),
    synchronous: memory ? undefined : variant === "full" ? "FULL" : "NORMAL",
    remove(name) {
      if (!memory) for (const end of ["", "-wal", "-shm"]) rmSync(join(dir, `${name}.db${end}`), { force: true });
    },
  };
}

/** The settings of a file; none in memory. */
export const pragmas = (synchronous) =>
  synchronous === undefined ? [] : ["PRAGMA journal_mode=WAL", `PRAGMA synchronous=${synchronous}`];

/** A system over connect(path), which answers an object with exec, prepare and close. */
export function localSystem(connect, { dir, variant }) {
  const place = files(dir, variant);
  function open(name) {
    const db = connect(place.path(name));
    for (const sql of pragmas(place.synchronous)) db.exec(sql);
    const statements = new Map();
    const prepared = (sql) => {
      let statement = statements.get(sql);
      if (statement === undefined) {
        statement = db.prepare(sql);
        statements.set(sql, statement);
      }
      return statement;
    };
    const runner = {
      exec: (sql) => void db.exec(sql),
      run: (sql, params = []) => prepared(sql).run(...params),
      get: (sql, params = []) => prepared(sql).get(...params),
      all: (sql, params = []) => prepared(sql).all(...params),
    };
    const inTransaction = (fn) => {
      db.exec("BEGIN IMMEDIATE");
      const result = fn();
      db.exec("COMMIT");
      return result;
    };
    return {
      ...runner,
      prepare: (sql) => {
        const statement = prepared(sql);
        return {
          get: (params) => statement.get(...params),
          getSync: (params) => statement.get(...params),
          all: (params) => statement.all(...params),
          run: (params) => statement.run(...params),
        };
      },
      transaction: async (fn) => {
        db.exec("BEGIN IMMEDIATE");
        await fn(runner);
        db.exec("COMMIT");
      },
      batch: (items) => inTransaction(() => items.map(([sql, params]) => prepared(sql).run(...params))),
      close: () => void db.close(),
    };
  }
  return {
    inMemory: variant === "memory",
    open: async (name) => open(name),
    remove: async (name) => place.remove(name),
  };
}

export { files };
