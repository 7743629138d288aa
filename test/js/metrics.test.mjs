// docs/metrics.md names exactly what metrics() reports.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "./harness.mjs";

const s = serve();

test("every metric is documented, and nothing else is", async (t) => {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v)");
  const metrics = await s.channel.metrics();
  const names = ["sql", "vfs", "channel", "cache"].flatMap((part) =>
    Object.keys(metrics[part]).map((name) => `${part}.${name}`),
  );
  const text = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
  const section = text.slice(text.indexOf("## In Node")).split("\n## ")[0];
  const documented = [...section.matchAll(/^\| `([\w.]+)`/gm)].map((match) => match[1]);
  assert.deepEqual(documented.toSorted(), [...names, "databases"].toSorted());
  for (const op of Object.values(metrics.channel.ops)) {
    assert.deepEqual(Object.keys(op).toSorted(), ["count", "errors", "maxMs", "totalMs"]);
  }
});

test("one budget for pages is shared by all channels of the process", async (t) => {
  const other = await connect({ url: s.server.url, cacheBudget: 2 ** 20 });
  t.after(async () => {
    await other.close();
    await (await connect({ url: s.server.url, cacheBudget: 2 ** 28 })).close();
  });
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v)");
  await db.run(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT zeroblob(1000) FROM n",
  );
  const cacheOf = async (channel) => (await channel.metrics()).cache;
  for (let cache = await cacheOf(s.channel); cache.usedBytes > cache.limitBytes; cache = await cacheOf(s.channel)) {
    await db.exec("SELECT 1");
  }
  assert.equal((await cacheOf(s.channel)).limitBytes, 2 ** 20);
  assert.deepEqual(await cacheOf(other), await cacheOf(s.channel));
  assert.ok((await cacheOf(other)).givenBackBytes > 2 ** 20);
  assert.deepEqual(await db.get("SELECT count(*) AS n, sum(length(v)) AS bytes FROM t"), { n: 3000, bytes: 3_000_000 });
});

test("a budget is a number of bytes", async () => {
  for (const cacheBudget of [0, -1, 1.5, Number.NaN, "1"]) {
    await assert.rejects(connect({ url: s.server.url, cacheBudget }), TypeError);
  }
});
