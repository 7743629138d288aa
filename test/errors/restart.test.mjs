// The server is killed amid work and comes back with the same data on the same port: nothing acknowledged is lost, and
// nothing is written twice.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { connect } from "pagewire";
import { startServer } from "pagewire/server";

const token = "secret-of-this-test";

// A server that can be killed and started again where it was.
async function restartable(t) {
  const dataDir = await mkdtemp(join(tmpdir(), "pagewire-test-"));
  const options = { command: process.env.PAGEWIRE_TEST_COMMAND, dataDir, token };
  const running = { server: await startServer(options) };
  // Neither the server nor an idle channel keeps a program alive, which here waits for nothing but them.
  const alive = setInterval(() => {}, 1000);
  const port = Number(new URL(running.server.url).port);
  running.kill = async () => {
    process.kill(running.server.pid, "SIGKILL");
    await running.server.exited;
  };
  running.start = async () => {
    running.server = await startServer({ ...options, port });
  };
  running.connect = async (more) => {
    const channel = await connect({ url: running.server.url, token, backoff: { min: 5, max: 50 }, ...more });
    t.after(() => channel.close({ timeout: 1000 }).catch(() => {}));
    return channel;
  };
  t.after(async () => {
    clearInterval(alive);
    await running.server.stop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  return running;
}

test("a server killed amid writes, five times over, has every acknowledged row once (I2, I3, I4)", async (t) => {
  const running = await restartable(t);
  const channel = await running.connect();
  const db = await channel.open("a");
  await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, n UNIQUE); CREATE TABLE pair (a, b)");
  const acknowledged = new Set();
  const codes = new Set();
  let next = 0;
  let stop = false;
  const writer = async () => {
    while (!stop) {
      const n = next++;
      try {
        if (n % 5 === 0) {
          await db.transaction(async (tx) => {
            await tx.run("INSERT INTO pair VALUES (?, NULL)", [n]);
            await tx.run("UPDATE pair SET b = a WHERE a = ?", [n]);
          });
        } else {
          await db.run("INSERT INTO t (n) VALUES (?)", [n]);
        }
        acknowledged.add(n);
      } catch (error) {
        codes.add(error.code);
      }
    }
  };
  const writers = Array.from({ length: 4 }, writer);
  for (let round = 0; round < 5; round++) {
    const enough = acknowledged.size + 20;
    while (acknowledged.size < enough) await new Promise((resolve) => setImmediate(resolve));
    const back = once(channel, "reconnect");
    await running.kill();
    await running.start();
    await back;
  }
  stop = true;
  await Promise.all(writers);
  t.diagnostic(`${acknowledged.size} of ${next} acknowledged, codes of the others: ${[...codes].join(" ") || "none"}`);
  for (const code of codes) assert.match(code, /^(commit_indeterminate|transaction_lost)$/);
  await channel.close();

  const again = await running.connect();
  const stored = await again.open("a", { mode: "takeover" });
  const rows = new Set((await stored.all("SELECT n FROM t UNION ALL SELECT a FROM pair")).map(({ n }) => n));
  for (const n of acknowledged) assert.ok(rows.has(n), `row ${n} was acknowledged and is lost`);
  assert.deepEqual(await stored.get("SELECT count(*) AS n FROM pair WHERE b IS NOT a"), { n: 0 });
  assert.deepEqual(await stored.get("SELECT count(*) - count(DISTINCT a) AS twice FROM pair"), { twice: 0 });
  assert.deepEqual(await stored.get("PRAGMA integrity_check"), { integrity_check: "ok" });
});

test("calls of every kind that a kill interrupts succeed once the server is back, or say why not (I4)", async (t) => {
  const running = await restartable(t);
  const channel = await running.connect();
  const prepared = await channel.open("cold");
  await prepared.exec("CREATE TABLE t (v); INSERT INTO t VALUES (randomblob(100000))");
  await prepared.close();
  const cold = await channel.open("cold", { preload: 0 });
  const warm = await channel.open("warm");
  await warm.exec("CREATE TABLE t (v); INSERT INTO t VALUES (1)");
  const back = once(channel, "reconnect");
  await running.kill();
  const calls = {
    "cold read": cold.get("SELECT length(v) AS n FROM t"),
    write: warm.run("INSERT INTO t VALUES (2)"),
    transaction: warm.transaction((tx) => tx.run("INSERT INTO t VALUES (3)")),
    open: channel.open("new"),
    "read of its own writes": warm.get("SELECT count(*) AS n FROM t"),
  };
  const ended = Promise.allSettled(Object.values(calls));
  await running.start();
  await back;
  const names = Object.keys(calls);
  for (const [i, { reason }] of (await ended).entries()) assert.equal(reason, undefined, `${names[i]}: ${reason}`);
  assert.deepEqual(await calls["cold read"], { n: 100_000 });
  assert.deepEqual(await calls["read of its own writes"], { n: 3 });
});

test("calls to a server that stays away end with their timeout, and the database goes on when it is back", async (t) => {
  const running = await restartable(t);
  const channel = await running.connect();
  const db = await channel.open("a");
  await db.exec("CREATE TABLE t (v); INSERT INTO t VALUES (1)");
  const disconnected = once(channel, "disconnect");
  await running.kill();
  await disconnected;
  assert.deepEqual(await db.get("SELECT v FROM t"), { v: 1 }, "what is in memory can be read");
  const away = /^(timeout|commit_indeterminate)$/;
  await assert.rejects(db.run("INSERT INTO t VALUES (2)", [], { timeout: 50 }), (e) => away.test(e.code));
  await assert.rejects(channel.open("b", { timeout: 50 }), { code: "timeout" });
  await assert.rejects(running.connect({ connectTimeout: 1000 }), { code: "unreachable" });
  const back = once(channel, "reconnect");
  await running.start();
  await back;
  const { n } = await db.get("SELECT count(*) AS n FROM t");
  assert.ok(n === 1 || n === 2);
  await db.run("INSERT INTO t VALUES (3)");
  assert.deepEqual(await db.get("SELECT count(*) AS n FROM t"), { n: n + 1 });
});

test("a channel to a server that is gone for good closes in time, and what was under way is refused", async (t) => {
  const running = await restartable(t);
  const channel = await running.connect({ requestTimeout: 200 });
  const db = await channel.open("a");
  await db.exec("CREATE TABLE t (v)");
  const disconnected = once(channel, "disconnect");
  await running.kill();
  await disconnected;
  await assert.rejects(db.run("INSERT INTO t VALUES (1)"), (e) => /^(timeout|commit_indeterminate)$/.test(e.code));
  const begin = performance.now();
  await channel.close({ timeout: 300 }).catch((error) => assert.equal(error.code, "timeout"));
  assert.ok(performance.now() - begin < 5000);
  await running.start();
});
