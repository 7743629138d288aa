// A program that uses the installed package as a user's would, against the installed server: node program.mjs
// Prints one line, "ok" and where it ran, and ends with 0 if everything was as it should be.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, PagewireError } from "pagewire";
import { startServer } from "pagewire/server";

const dataDir = mkdtempSync(join(tmpdir(), "pagewire-installed-"));
const token = "token-of-this-program";
let server = await startServer({ dataDir, token, timeout: 120_000 });
let channel = await connect({ url: server.url, token, timeout: 60_000 });
let db = await channel.open("actor-1");
await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, b BLOB, n INTEGER) STRICT");
await db.transaction(async (tx) => {
  for (let id = 1; id <= 200; id++) {
    await tx.run("INSERT INTO t VALUES (?, ?, ?, ?)", [
      id,
      `text ${id} \0 é`,
      new Uint8Array([id, 0, 255]),
      2n ** 60n + BigInt(id),
    ]);
  }
});
await assert.rejects(
  db.run("INSERT INTO t (id) VALUES (1)"),
  (e) => e instanceof PagewireError && e.code === "SQLITE_CONSTRAINT_PRIMARYKEY",
);
assert.deepEqual(db.getSync("SELECT count(*) AS n, max(id) AS m FROM t"), { n: 200, m: 200 });
await channel.close();
await server.stop();

// Another server over the same directory, and the same module by require: what was acknowledged is there.
const required = createRequire(import.meta.url)("pagewire");
assert.equal(required.PagewireError, PagewireError);
server = await startServer({ dataDir, token, timeout: 120_000 });
channel = await required.connect({ url: server.url, token, timeout: 60_000 });
db = await channel.open("actor-1");
const row = await db.get("SELECT * FROM t WHERE id = $id", { id: 77 });
assert.deepEqual({ ...row, b: [...row.b] }, { id: 77, v: "text 77 \0 é", b: [77, 0, 255], n: 2n ** 60n + 77n });
let rows = 0;
for await (const _ of db.iterate("SELECT * FROM t")) rows++;
assert.equal(rows, 200);
await channel.close();
await server.stop();
rmSync(dataDir, { recursive: true, force: true });
const { bun, deno, node } = process.versions;
console.log(`ok ${process.platform}-${process.arch} ${bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node.js ${node}`}`);
