// The workloads. Each is
//
//   what       one line for the report
//   unit       of its value: us, ms, or a rate, of which more is better (higherIsBetter)
//   latencies  milliseconds of round trip that are added; systems without a network run at 0 only
//   targets    [{ latencyMs, atMost | atLeast, of?, metric? }]: the median, or another metric, against a figure, or
//              against that many times the median of the adapter `of`, or of the workload `workload`
//   only       the adapters that run it, if not all
//   without    adapters that cannot run it, by the beginning of their names, and why
//   restart    run each round in processes and servers that have just been started
//   prepare    fills databases; what it answers is passed on
//   round      one round: answers what meter.stop() answers. Throws if a result is wrong
//
// A round gets (system, state, round, options). Values are milliseconds here; run.mjs turns them into the unit.

import * as data from "./data.mjs";
import { loadAddon } from "./load.mjs";
import { memoryKb, meter, timed } from "./meter.mjs";
import { median } from "./stats.mjs";

const MIB = 2 ** 20;
const byId = "SELECT * FROM bench WHERE id = ?";
const noMemory = { "better-sqlite3-memory": "nothing to reopen", "node-sqlite-memory": "nothing to reopen" };
const noSync = { turso: "asynchronous only", "sqlite-vfs": "asynchronous only", rivetkit: "asynchronous only" };

async function opened(system, name, rows, chars) {
  const db = await system.open(name);
  await (system.unmeasured ?? ((fn) => fn()))(() =>
    rows === undefined ? data.createTable(db) : data.fill(db, rows, chars),
  );
  return db;
}

/** Runs fn with a database of its own for the round, which is closed and removed after. */
async function onFresh(system, name, rows, fn) {
  const db = await opened(system, name, rows);
  try {
    return await fn(db);
  } finally {
    await db.close();
    await system.remove(name);
  }
}

const insertThousand = (use) => (system, _state, round) =>
  onFresh(system, `insert-${round}`, 1000, async (db) => {
    const rows = Array.from({ length: 1000 }, (_, i) => data.rowOf(1001 + i));
    const m = meter(system);
    const samples = await timed(1, () => use(db, rows));
    const result = m.stop(samples);
    await data.expectRows(db, 2000);
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

const idleDatabases = 1000;

/** Private memory in KiB of this process and of the server, when both have nothing to do for a while. */
async function settled(system) {
  const read = () => ({
    client: memoryKb("self", "Private_Dirty", "smaps_rollup"),
    server: system.serverPid && memoryKb(system.serverPid, "Private_Dirty", "smaps_rollup"),
  });
  let last = read();
  for (let i = 0; i < 20; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 200));
    const now = read();
    if (Math.abs(now.client - last.client) < 64 && Math.abs((now.server ?? 0) - (last.server ?? 0)) < 64) return now;
    last = now;
  }
  return last;
}

/** A cold scan: a handle is opened, and the first statement reads every page of the table. */
const coldScan = (order) => ({
  unit: "ms",
  latencies: [0, 10],
  without: noMemory,
  maxRounds: 5,
  prepare: async (system) => {
    const db = await opened(system, "scan");
    const rows = order === "random" ? 38_000 : 50_000;
    const ids = order === "random" ? data.shuffled(rows) : data.upTo(rows);
    await (system.unmeasured ?? ((fn) => fn()))(() => data.insertRows(db, ids, 900));
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
    data.expect(Number(row.chars) === rows * 900, `${row.chars} characters`);
    return result;
  },
});

export const workloads = {
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
    targets: [{ latencyMs: 0, atMost: 0.6, of: "better-sqlite3-memory" }],
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

  "insert-autocommit": {
    what: "one INSERT, awaited until it is durable",
    unit: "us",
    latencies: [0, 10],
    targets: [
      { latencyMs: 0, atMost: 2, of: "better-sqlite3-full" },
      { latencyMs: 10, metric: "roundTripTimes", atMost: 1.07 },
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
      { latencyMs: 0, atMost: 4 },
      { latencyMs: 10, atMost: 16 },
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

  "cold-scan-50mib": {
    ...coldScan("sequential"),
    what: "a scan of a table of 50 MiB right after opening",
    targets: [
      { latencyMs: 0, atMost: 200 },
      { latencyMs: 10, atMost: 500 },
      { latencyMs: 10, metric: "roundTrips", atMost: 20 },
    ],
  },

  "cold-scan-fragmented": {
    ...coldScan("random"),
    what: "the same of a table that was filled in random order and not vacuumed",
    targets: [
      { latencyMs: 0, atMost: 2, workload: "cold-scan-50mib" },
      { latencyMs: 10, atMost: 2, workload: "cold-scan-50mib" },
    ],
  },

  "cold-index-lookup": {
    what: "2,000 rows of 100,000 through the index on num, right after opening",
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
      { latencyMs: 10, metric: "roundTripTimes", atMost: 1.2 },
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

  "actors-16": {
    what: "autocommit INSERTs on 16 databases at once, durable commits a second",
    unit: "commits/s",
    higherIsBetter: true,
    latencies: [0],
    targets: [{ latencyMs: 0, atLeast: 8000 }],
    async prepare(system) {
      const dbs = [];
      for (let i = 0; i < 16; i++) dbs.push(await opened(system, `actor-${i}`, 10));
      return dbs.map((db) => ({ db, rows: 10 }));
    },
    async round(system, actors, _round, { quick }) {
      const m = meter(system);
      const samples = [];
      const begin = performance.now();
      const until = begin + (quick ? 1000 : 2000);
      const inserted = await Promise.all(
        actors.map(async (actor) => {
          let n = 0;
          for (let at = performance.now(); at < until; n++) {
            await actor.db.run(data.insert, data.rowOf(actor.rows + n + 1));
            const now = performance.now();
            samples.push(now - at);
            at = now;
          }
          actor.rows += n;
          return n;
        }),
      );
      const seconds = (performance.now() - begin) / 1000;
      const n = inserted.reduce((sum, one) => sum + one, 0);
      const result = m.stop(samples, { value: n / seconds, perOperation: n });
      for (const { db, rows } of actors) await data.expectRows(db, rows);
      return result;
    },
  },

  "actors-1000": {
    what: "1,000 open databases, one small UPDATE each a second: time of a write",
    unit: "ms",
    latencies: [0],
    maxRounds: 3,
    targets: [
      { latencyMs: 0, metric: "cores", atMost: 0.5 },
      { latencyMs: 0, metric: "p99", atMost: 20 },
    ],
    without: {
      "sqlite-vfs": "2 MiB of WebAssembly a database, in the same process",
      rivetkit: "takes minutes to create 1,000 actors",
      turso: "2 MiB a database",
    },
    async prepare(system) {
      const dbs = [];
      for (let i = 0; i < 1000; i++) dbs.push(await opened(system, `many-${i}`, 10));
      return dbs;
    },
    async round(system, dbs, round, { quick }) {
      const seconds = quick ? 3 : 5;
      const m = meter(system);
      const samples = [];
      const begin = performance.now();
      const first = 1 + round * seconds * 1000; // every write writes another value: what changes nothing is no commit
      const writing = [];
      for (let i = 0; i < seconds * 1000; ) {
        for (const now = performance.now() - begin; i <= now && i < seconds * 1000; i++) {
          const at = performance.now();
          const wrote = dbs[i % 1000].run("UPDATE bench SET created_at = ? WHERE id = ?", [first + i, 1 + (i % 10)]);
          writing.push(Promise.resolve(wrote).then(() => samples.push(performance.now() - at)));
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await Promise.all(writing);
      const result = m.stop(samples, { perOperation: samples.length });
      result.cores = (result.clientCpuMs + (result.serverCpuMs ?? 0)) / result.elapsedMs;
      for (let i = 0; i < 1000; i += 37) {
        const { created_at } = await dbs[i].get(byId, [1 + (i % 10)]);
        const last = first + (seconds - 1) * 1000 + i;
        data.expect(Number(created_at) === last, `database ${i} holds ${created_at} instead of ${last}`);
      }
      return result;
    },
  },

  "memory-idle": {
    what: "memory of one of 1,000 open databases that have answered a query and are idle; processes just started",
    unit: "KiB",
    latencies: [0],
    maxRounds: 3,
    restart: true,
    targets: [
      { latencyMs: 0, atMost: 64 },
      { latencyMs: 0, metric: "serverKb", atMost: 16 },
    ],
    without: {
      "sqlite-vfs": "keeps its data in the same process",
      rivetkit: "takes minutes to create 1,000 actors",
      turso: "2 MiB a database",
    },
    async prepare(system) {
      for (let i = 0; i < idleDatabases; i++) {
        const db = await opened(system, `idle-${i}`, 10);
        if (!system.inMemory) await db.close();
      }
    },
    async round(system) {
      const ask = async (i) => {
        const db = system.inMemory ? await opened(system, `idle-${i}`, 10) : await system.open(`idle-${i}`);
        data.expectRow(await db.get(byId, [7]), 7);
        return db;
      };
      const dbs = [await ask(0)]; // what the first one needs is not each one's
      const before = await settled(system);
      for (let i = 1; i < idleDatabases; i++) dbs.push(await ask(i));
      const after = await settled(system);
      for (const db of dbs) await db.close();
      const each = (name) => (after[name] - before[name]) / (idleDatabases - 1);
      return {
        value: each("client"),
        p99: each("client"),
        n: 1,
        ...(system.serverPid ? { serverKb: each("server") } : {}),
      };
    },
  },

  "addon-load": {
    what: "require() of the library in a new process, its file warm, until a first call has entered it",
    unit: "ms",
    latencies: [0],
    targets: [
      { latencyMs: 0, atMost: 5 },
      { latencyMs: 0, metric: "privateMib", atMost: 3 },
      { latencyMs: 0, metric: "fileMib", atMost: 9 },
    ],
    only: ["pagewire", "better-sqlite3-memory", "node-sqlite-memory", "libsql-normal", "turso-normal"],
    async round(_system, _state, _round, { file }) {
      loadAddon(file); // reads the files, so that they are warm
      const loads = Array.from({ length: 3 }, () => loadAddon(file));
      const mean = (name) => loads.reduce((sum, load) => sum + load[name], 0) / loads.length;
      return {
        value: median(loads.map(({ ms }) => ms)),
        p99: Math.max(...loads.map(({ ms }) => ms)),
        n: loads.length,
        privateMib: mean("privateMib"),
        fileMib: mean("fileMib"),
      };
    },
  },
};
