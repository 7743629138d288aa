// What workloads have in common.

import * as data from "../data.mjs";

export const MIB = 2 ** 20;
/** The floor of what cannot be done faster on the libraries that Pagewire is made of, SQLite among them. */
export const coreFloor = { adapter: "echo-go-core" };
export const byId = "SELECT * FROM bench WHERE id = ?";
export const noMemory = { "better-sqlite3-memory": "nothing to reopen", "node-sqlite-memory": "nothing to reopen" };

/** Of a thousand databases each library does one of its two kinds of file. */
export const oneFile = Object.fromEntries(
  ["better-sqlite3", "node-sqlite", "libsql"].map((name) => [`${name}-normal`, `takes minutes, ${name}-full is run`]),
);
export const noSync = { turso: "asynchronous only", "sqlite-vfs": "asynchronous only", rivetkit: "asynchronous only" };

/** A database with a table of so many rows, or an empty one. */
export async function opened(system, name, rows, chars) {
  const db = await system.open(name);
  await (system.unmeasured ?? ((fn) => fn()))(() =>
    rows === undefined ? data.createTable(db) : data.fill(db, rows, chars),
  );
  return db;
}

/** Runs fn with a database of its own for the round, which is closed and removed after. */
export async function onFresh(system, name, rows, fn) {
  const db = await opened(system, name, rows);
  try {
    return await fn(db);
  } finally {
    await db.close();
    await system.remove(name);
  }
}
