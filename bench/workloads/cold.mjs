// What is read from storage: nothing is in SQLite's cache.

import * as data from "../data.mjs";
import { meter, timed } from "../meter.mjs";
import { byId, MIB, noMemory, opened } from "./shared.mjs";

/** A cold scan: a handle is opened, and the first statement reads every page of the table. */
const coldScan = (order, rows, chars = 900) => ({
  cold: true,
  unit: "ms",
  latencies: [0, 10],
  without: noMemory,
  maxRounds: 5,
  prepare: async (system) => {
    const db = await opened(system, "scan");
    const ids = order === "random" ? data.shuffled(rows) : data.upTo(rows);
    await data.insertRows(db, ids, chars);
    const [pages] = Object.values(await db.get("PRAGMA page_count"));
    await db.close();
    return { rows, pages };
  },
  async round(system, { rows, pages }) {
    const begin = performance.now();
    const db = await system.open("scan");
    const openMs = performance.now() - begin;
    const m = meter(system);
    let row;
    const samples = await timed(1, async () => {
      row = await db.get("SELECT count(*) AS n, sum(id) AS ids, sum(length(value)) AS chars FROM bench");
    });
    const result = m.stop(samples, { openMs, mib: (Number(pages) * 4096) / MIB });
    await db.close();
    data.expect(Number(row.n) === rows && Number(row.ids) === (rows * (rows + 1)) / 2, `${row.n} rows of ${rows}`);
    data.expect(Number(row.chars) === rows * chars, `${row.chars} characters`);
    return result;
  },
});

export const cold = {
  "cold-scan-50mib": {
    ...coldScan("sequential", 50_000),
    what: "a scan of a table of 50 MiB right after opening",
    targets: [
      { latencyMs: 0, atMost: 200 },
      { latencyMs: 10, atMost: 500 },
      { latencyMs: 10, metric: "roundTrips", atMost: 20 },
    ],
  },

  "cold-scan-fragmented": {
    ...coldScan("random", 38_000),
    what: "the same of a table that was filled in random order and not vacuumed",
    targets: [
      { latencyMs: 0, atMost: 2, workload: "cold-scan-50mib" },
      { latencyMs: 10, atMost: 2, workload: "cold-scan-50mib" },
    ],
  },

  "cold-scan-spilled": {
    ...coldScan("random", 5000, 6000),
    what: "the same of 5,000 rows of 6,000 characters, which do not fit into their pages, filled in random order",
  },

  "cold-index-lookup": {
    what: "2,000 rows of 100,000 through the index on num, right after opening",
    cold: true,
    unit: "ms",
    latencies: [0, 10],
    without: noMemory,
    targets: [{ latencyMs: 10, metric: "roundTrips", atMost: 25 }],
    maxRounds: 5,
    async prepare(system) {
      const rows = 100_000;
      const db = await opened(system, "lookup", rows);
      await db.close();
      const nums = data
        .upTo(rows)
        .map(data.numOf)
        .sort((a, b) => a - b);
      return { from: nums[40_000], to: nums[41_999] };
    },
    async round(system, { from, to }) {
      const db = await system.open("lookup");
      const m = meter(system);
      let row;
      const samples = await timed(1, async () => {
        row = await db.get(
          "SELECT count(*) AS n, sum(length(value)) AS chars FROM bench INDEXED BY bench_num WHERE num >= ? AND num <= ?",
          [from, to],
        );
      });
      const result = m.stop(samples);
      await db.close();
      data.expect(Number(row.n) === 2000 && Number(row.chars) === 200_000, `${row.n} rows, ${row.chars} characters`);
      return result;
    },
  },

  "open-first-query": {
    what: "opening a database of 1,000 rows and reading one",
    unit: "ms",
    latencies: [0, 10],
    without: noMemory,
    targets: [
      { latencyMs: 0, atMost: 2 },
      { latencyMs: 10, metric: "roundTripTimes", atMost: 1.2, floor: { workload: "echo", adapter: "echo" } },
    ],
    async prepare(system) {
      await (await opened(system, "open", 1000)).close();
    },
    async round(system) {
      const m = meter(system);
      const n = 10;
      const samples = new Float64Array(n);
      let closeTrips = 0;
      for (let i = 0; i < n; i++) {
        const begin = performance.now();
        const db = await system.open("open");
        const row = await db.get(byId, [500]);
        samples[i] = performance.now() - begin;
        data.expectRow(row, 500);
        const before = system.counters?.().roundTrips;
        await db.close();
        if (before !== undefined) closeTrips += system.counters().roundTrips - before;
      }
      const result = m.stop(samples, { perOperation: n });
      return result.roundTrips === undefined ? result : { ...result, roundTrips: result.roundTrips - closeTrips };
    },
  },
};
