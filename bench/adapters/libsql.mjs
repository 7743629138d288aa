// libsql: Turso's fork of SQLite behind better-sqlite3's interface.

import { createRequire } from "node:module";
import { localSystem } from "./local.mjs";

export default async function create(options) {
  const Database = createRequire(import.meta.url)("libsql");
  return localSystem((path) => new Database(path), options);
}
