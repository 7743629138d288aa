// What is in a database, asked for in the same SQL on either side.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

// Neither cut at a NUL nor rounded on the way: text and blobs come as hex, integers as text, reals as they are, because
// versions of SQLite print them differently. Long values come as their hash.
const exact = (column) =>
  `CASE typeof(${column}) WHEN 'real' THEN ${column} WHEN 'integer' THEN 'integer ' || ${column}` +
  ` ELSE typeof(${column}) || ' ' || hex(${column}) END`;
function short(value) {
  if (typeof value === "number") return `real ${value}`;
  return value.length < 200 ? value : `${value.length} ${createHash("sha256").update(value).digest("base64")}`;
}

/** Every definition and every row, as {schema, tables: {name: rows}}; checks that the database is sound first. */
export async function contentsOf(db) {
  assert.deepEqual(await db.all("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
  const schema = await db.all("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name");
  const tables = {};
  for (const { type, name } of schema) {
    if (type !== "table" && type !== "view") continue;
    const columns = await db.all(`SELECT name FROM pragma_table_xinfo('${name.replaceAll("'", "''")}') ORDER BY cid`);
    const list = columns.map((column, i) => `${exact(quoted(column.name))} AS c${i}`).join(", ");
    const rows = await db.all(`SELECT ${list} FROM ${quoted(name)}`);
    tables[name] = rows.map((row) => Object.values(row).map(short)).sort();
  }
  return { schema, tables };
}
