// docs/metrics.md names exactly what metrics() reports.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { serve } from "./harness.mjs";

const s = serve();

test("every metric is documented, and nothing else is", async (t) => {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v)");
  const metrics = await s.channel.metrics();
  const names = ["sql", "vfs", "channel"].flatMap((part) =>
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
