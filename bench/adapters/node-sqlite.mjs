// node:sqlite, which comes with Node.js.

import { localSystem } from "./local.mjs";

export default async function create(options) {
  const { DatabaseSync } = await import("node:sqlite");
  return localSystem((path) => new DatabaseSync(path), options);
}
