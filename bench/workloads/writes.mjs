// Writes: single, at once, many in a transaction, large.

import * as data from "../data.mjs";
import { meter, timed } from "../meter.mjs";
import { coreFloor, MIB, onFresh, opened } from "./shared.mjs";

// The first ones of a process take twice as long, in all systems: compilers and memory warm up.
const thousands = 5;
const insertThousand = (use) => (system, _state, round) =>
  onFresh(system, `insert-${round}`, 1000, async (db) => {
    const rows = Array.from({ length: thousands * 1000 }, (_, i) => data.rowOf(1001 + i));
    const m = meter(system);
    const samples = await timed(thousands, (i) => use(db, rows.slice(i * 1000, (i + 1) * 1000)));
    const result = m.stop(samples);
    await data.expectRows(db, (1 + thousands) * 1000);
    return result;
  });

const bigRow = (bytes) => ({
  what: `INSERT of one row with ${bytes / MIB} MiB of text, autocommit`,
  unit: "ms",
  latencies: [0, 10],
  prepare: (system) => opened(system, "big", 10),
  async round(system, db, round) {
    const value = data.text(round, bytes);
    const key = `big-${round}`;
    const m = meter(system);
    const samples = await timed(1, () => db.run(data.insert, [key, value, 1, 1]));
    const result = m.stop(samples);
    const row = await db.get("SELECT value FROM bench WHERE key = ?", [key]);
    data.expect(row?.value === value, "the text read back is another");
    return result;
  },
});

export const writes = {
  "insert-autocommit": {
    what: "one INSERT, awaited until it is durable",
    unit: "us",
    latencies: [0, 10],
    targets: [
      { latencyMs: 0, atMost: 2, of: "better-sqlite3-full", floor: coreFloor },
      { latencyMs: 10, metric: "roundTripTimes", atMost: 1.07, floor: coreFloor },
    ],
    prepare: (system) => opened(system, "autocommit", 1000),
    async round(system, db, round, { latencyMs }) {
      const warm = latencyMs === 0 ? 20 : 2;
      const n = latencyMs === 0 ? 200 : 30;
      let next = 1001 + round * (warm + n);
      const one = () => db.run(data.insert, data.rowOf(next++));
      await timed(warm, one);
      const m = meter(system);
      const samples = await timed(n, one);
      const result = m.stop(samples, { perOperation: n });
      await data.expectRows(db, next - 1);
      return result;
    },
  },

  "insert-100-concurrent": {
    what: "100 INSERTs issued at once on one database, until the last is durable",
    unit: "ms",
    latencies: [0, 10],
    targets: [{ latencyMs: 10, atMost: 25 }],
    prepare: (system) => opened(system, "concurrent", 1000),
    async round(system, db, round) {
      const first = 1001 + round * 100;
      const rows = Array.from({ length: 100 }, (_, i) => data.rowOf(first + i));
      const m = meter(system);
      const samples = await timed(1, () => Promise.all(rows.map((row) => db.run(data.insert, row))));
      const result = m.stop(samples);
      await data.expectRows(db, first + 99);
      return result;
    },
  },

  "insert-1000-tx": {
    what: "1,000 INSERTs in one transaction, each awaited",
    unit: "ms",
    latencies: [0, 10],
    targets: [
      { latencyMs: 0, atMost: 8 },
      { latencyMs: 10, atMost: 20 },
    ],
    round: insertThousand((db, rows) =>
      db.transaction(async (tx) => {
        for (const row of rows) await tx.run(data.insert, row);
      }),
    ),
  },

  "insert-1000-batch": {
    what: "1,000 INSERTs in one batch (a transaction where there is no batch)",
    unit: "ms",
    latencies: [0, 10],
    targets: [
      { latencyMs: 0, atMost: 4, floor: coreFloor },
      { latencyMs: 10, atMost: 16, floor: coreFloor },
    ],
    round: insertThousand((db, rows) => db.batch(rows.map((row) => [data.insert, row]))),
  },

  "row-1mib": {
    ...bigRow(MIB),
    targets: [
      { latencyMs: 0, atMost: 12 },
      { latencyMs: 10, atMost: 25 },
    ],
  },

  "row-10mib": {
    ...bigRow(10 * MIB),
    maxRounds: 5,
    targets: [
      { latencyMs: 0, atMost: 80 },
      { latencyMs: 10, atMost: 110 },
    ],
  },
};
