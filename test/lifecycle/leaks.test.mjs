// What is opened and closed again leaves nothing behind.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";

const token = "secret-of-this-test";
const s = serve({ token });
const linux = process.platform === "linux";

// What this process holds. Files and threads are counted where the system tells.
function held() {
  globalThis.gc?.();
  return {
    rss: process.memoryUsage.rss(),
    resources: process.getActiveResourcesInfo().length,
    files: linux ? readdirSync("/proc/self/fd").length : 0,
    threads: linux ? Number(/^Threads:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "latin1"))[1]) : 0,
  };
}

// Threads and buffers that are kept for reuse come while warming up; the bounds are for what grows with each cycle.
async function flat(t, warmUp, cycles, cycle) {
  for (let i = 0; i < warmUp; i++) await cycle(i);
  const before = held();
  for (let i = 0; i < cycles; i++) await cycle(i);
  const after = held();
  const grown = (after.rss - before.rss) / cycles;
  t.diagnostic(
    `${cycles} cycles: ${Math.round(grown)} bytes a cycle, ${JSON.stringify(before)} to ${JSON.stringify(after)}`,
  );
  assert.ok(after.rss - before.rss < 48 * 2 ** 20, `${Math.round(grown)} bytes a cycle`);
  assert.ok(after.resources <= before.resources + 2, `${before.resources} resources became ${after.resources}`);
  assert.ok(after.files <= before.files + 4, `${before.files} files became ${after.files}`);
  assert.ok(after.threads <= before.threads + 8, `${before.threads} threads became ${after.threads}`);
}

test("1,000 databases opened, used and closed leave memory, files and threads flat", async (t) => {
  await flat(t, 200, 1000, async (i) => {
    const db = await s.channel.open(`cycle-${i % 10}`);
    await db.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)");
    await db.run("INSERT OR REPLACE INTO t VALUES (1, randomblob(20000))");
    assert.equal((await db.get("SELECT length(v) AS n FROM t")).n, 20_000);
    for await (const _ of db.iterate("SELECT * FROM t")) break;
    await assert.rejects(db.get("SELECT nothing"), { code: "SQLITE_ERROR" });
    await db.close();
  });
});

test("channels made and closed leave memory, files and threads flat", async (t) => {
  await flat(t, 30, 150, async (i) => {
    const channel = await connect({ url: s.server.url, token });
    const db = await channel.open(`channel-${i % 3}`);
    await db.exec("CREATE TABLE IF NOT EXISTS t (v)");
    await channel.close();
    await assert.rejects(connect({ url: s.server.url, token: "wrong" }), { code: "unauthorized" });
  });
});
