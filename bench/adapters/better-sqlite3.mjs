// better-sqlite3: the synchronous library that most use. Files with synchronous NORMAL or FULL, and memory.

import { createRequire } from "node:module";
import { localSystem } from "./local.mjs";

export default async function create(options) {
  const Database = createRequire(import.meta.url)("better-sqlite3");
  return localSystem((path) => new Database(path), options);
}
