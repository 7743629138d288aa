// What costs how many round trips, as the channel counts them and as a proxy between it and the server does.

import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";
import { frames, startProxy } from "../support/proxy.mjs";

const token = "secret-of-this-test";
const s = serve({ token });
const rows = 100_000;

/** A channel through a proxy, and trips(what): how many round trips that took. */
async function counted(t) {
  const proxy = await startProxy(t, s.server.url);
  const channel = await connect({ url: proxy.url, token });
  const seen = () => proxy.counts[frames.response] ?? 0;
  const trips = async (what) => {
    const [metrics, answers] = [await channel.metrics(), seen()];
    await what();
    const counted = (await channel.metrics()).channel.roundTrips - metrics.channel.roundTrips;
    assert.equal(seen() - answers, counted, "the channel's metrics and the proxy disagree");
    return counted;
  };
  return { channel, trips, proxy };
}

async function fill(actor) {
  const db = await s.channel.open(actor);
  await db.exec(`CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT NOT NULL, v BLOB); CREATE INDEX by_k ON t (k);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO t SELECT i, 'key ' || (i * 7919 % 100003), randomblob(100) FROM n`);
  await db.close();
}

test("open with preload takes one round trip, warm calls none, a close one", async (t) => {
  await fill("basics");
  const { channel, trips } = await counted(t);
  let db;
  assert.equal(await trips(async () => (db = await channel.open("basics"))), 1, "open");
  await db.get("SELECT v FROM t WHERE id = 4711");
  const warm = async () => {
    for (let i = 0; i < 50; i++) await db.get("SELECT v FROM t WHERE id = 4711");
    for (let i = 0; i < 50; i++) db.getSync("SELECT v FROM t WHERE id = 4711");
    for await (const _ of db.iterate("SELECT v FROM t WHERE id = 4711"));
    await db.transaction((tx) => tx.get("SELECT v FROM t WHERE id = 4711"));
    await db.batch(["SELECT v FROM t WHERE id = 4711"]);
  };
  assert.equal(await trips(warm), 0, "warm reads");
  assert.equal(await trips(() => db.run("UPDATE t SET v = v || x'00' WHERE id = 4711")), 1, "a warm update");
  assert.equal(await trips(() => db.close()), 1, "close");
  await channel.close();
});

test("a commit of any size takes one round trip, up to 64 MiB", async (t) => {
  const { channel, trips, proxy } = await counted(t);
  const db = await channel.open("commits");
  await db.exec("CREATE TABLE t (v BLOB)");
  for (const bytes of [1, 100_000, 2 ** 20, 10 * 2 ** 20, 63 * 2 ** 20]) {
    await db.get("SELECT max(rowid) FROM t"); // where the next row goes, which a large commit pushed out of the cache
    const stages = proxy.counts[frames.stage] ?? 0;
    assert.equal(await trips(() => db.run("INSERT INTO t VALUES (randomblob(?))", [bytes])), 1, `${bytes} bytes`);
    if (bytes > 32 * 2 ** 20)
      assert.ok(proxy.counts[frames.stage] > stages, "a large commit is sent in several frames");
  }
  const many = db.prepare("INSERT INTO t VALUES (?)");
  const transaction = () =>
    db.transaction(async (tx) => {
      for (let i = 0; i < 1000; i++) await tx.run("INSERT INTO t VALUES (?)", [i]);
    });
  await many.run([0]); // reads what the large commit pushed out of the cache
  assert.equal(await trips(transaction), 1, "a transaction of 1,000 statements");
  assert.equal(await trips(() => db.batch(Array(1000).fill(["INSERT INTO t VALUES (?)", [1]]))), 1, "a batch of 1,000");
  const concurrent = await trips(() => Promise.all(Array.from({ length: 100 }, (_, i) => many.run([i]))));
  assert.ok(concurrent < 100, `100 concurrent inserts took ${concurrent} round trips: none were merged`);
  t.diagnostic(`100 concurrent inserts: ${concurrent} round trips`);
  await channel.close();
});

test(`cold reads of a table of ${rows} rows`, async (t) => {
  await fill("cold");
  const { channel, trips } = await counted(t);
  const reads = {
    "a row by its id": "SELECT v FROM t WHERE id = 77777",
    "a row by an index": "SELECT v FROM t WHERE k = 'key 99999'",
    "a count over an index range": "SELECT count(*) AS n FROM t WHERE k BETWEEN 'key 5' AND 'key 51'",
    "a scan of everything": "SELECT sum(length(v)) AS n FROM t",
  };
  // At most so many: with preload, and without any.
  const most = {
    "a row by its id": [2, 4],
    "a row by an index": [3, 6],
    "a count over an index range": [6, 8],
    "a scan of everything": [30, 32],
  };
  for (const [what, sql] of Object.entries(reads)) {
    const took = [];
    for (const [i, preload] of [undefined, 0].entries()) {
      let db;
      // Without preload the first page is fetched on its own.
      assert.equal(await trips(async () => (db = await channel.open("cold", { preload }))), 1 + i, "open");
      took.push(await trips(() => db.get(sql)));
      assert.ok(took[i] <= most[what][i], `${what}, preload ${preload ?? "on"}: ${took[i]} round trips`);
      await db.close();
      // A session whose touched pages are hints for no one: the next open is as cold as this one was.
      const other = await s.channel.open("cold", { preload: 0 });
      await other.close();
    }
    t.diagnostic(`${what}: ${took[0]} round trips after an open with preload, ${took[1]} without`);
  }
  await channel.close();
});
