// Reads that find everything in the cache.

import * as data from "../data.mjs";
import { meter, timed } from "../meter.mjs";
import { byId, noSync, opened } from "./shared.mjs";

export const reads = {
  "warm-point-read": {
    what: "SELECT * of one row of 1,000 by primary key, prepared, awaited",
    unit: "us",
    latencies: [0],
    targets: [{ latencyMs: 0, atMost: 0.5, of: "better-sqlite3-normal" }],
    prepare: (system) => opened(system, "read", 1000),
    async round(system, db, _round, { quick }) {
      const statement = await db.prepare(byId);
      for (let i = 0; i < 1000; i++) data.expectRow(await statement.get([1 + i]), 1 + i);
      const m = meter(system);
      const n = quick ? 5000 : 10_000;
      const samples = new Float64Array(n);
      let ids = 0;
      for (let i = 0; i < n; i++) {
        const id = 1 + ((i * 7919) % 1000);
        const begin = performance.now();
        const row = await statement.get([id]);
        samples[i] = performance.now() - begin;
        ids += Number(row.id) - id;
      }
      data.expect(ids === 0, "another row than asked for");
      return m.stop(samples);
    },
  },

  "warm-point-read-sync": {
    what: "the same with the synchronous call",
    unit: "us",
    latencies: [0],
    targets: [{ latencyMs: 0, atMost: 0.6, of: "better-sqlite3-memory", floor: { adapter: "floor-promises-held" } }],
    without: noSync,
    prepare: (system) => opened(system, "read-sync", 1000),
    async round(system, db, _round, { quick }) {
      const statement = await db.prepare(byId);
      for (let i = 0; i < 1000; i++) data.expectRow(statement.getSync([1 + i]), 1 + i);
      const m = meter(system);
      const n = quick ? 5000 : 10_000;
      const samples = new Float64Array(n);
      let ids = 0;
      for (let i = 0; i < n; i++) {
        const id = 1 + ((i * 7919) % 1000);
        const begin = performance.now();
        const row = statement.getSync([id]);
        samples[i] = performance.now() - begin;
        ids += Number(row.id) - id;
      }
      data.expect(ids === 0, "another row than asked for");
      return m.stop(samples);
    },
  },

  "rows-10k": {
    what: "10,000 rows of 5 columns as objects, warm",
    unit: "ms",
    latencies: [0],
    targets: [{ latencyMs: 0, atMost: 0.8, of: "better-sqlite3-normal" }],
    prepare: (system) => opened(system, "rows", 10_000),
    async round(system, db) {
      const statement = await db.prepare("SELECT * FROM bench LIMIT ?");
      const read = () => statement.all([10_000]);
      const first = await read();
      data.expect(first.length === 10_000, `${first.length} rows`);
      for (let i = 0; i < 10_000; i += 97) data.expectRow(first[i], i + 1);
      const m = meter(system);
      const samples = await timed(5, async () => {
        const rows = await read();
        data.expect(rows.length === 10_000, `${rows.length} rows`);
      });
      return m.stop(samples);
    },
  },
};
