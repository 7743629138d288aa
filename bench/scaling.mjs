// How Pagewire's costs grow: with the size of the database, the number of actors, the size of a transaction, and the
// latency. Prints tables, or with --json one line a row. See README.md.

import { ensureNode } from "./node.mjs";

await ensureNode();

const { mkdtempSync, rmSync } = await import("node:fs");
const { tmpdir } = await import("node:os");
const { join } = await import("node:path");
const { connect } = await import("../dist/esm/index.mjs");
const { listOf, numbersOf, optionsOf, refuse } = await import("./arguments.mjs");
const { memoryKb, timed } = await import("./meter.mjs");
const { services } = await import("./services.mjs");
const { figure, median, round } = await import("./stats.mjs");

const MIB = 2 ** 20;
const rowBytes = 3900; // one row a page

const usage = `node bench/scaling.mjs [options]

  --only a,b           of the tables size, actors, transaction, latency
  --sizes-mib n,m      of a database, 1,16,256,1024,4096 (5 GiB of disk) unless told otherwise
  --actors n,m         1,10,100,1000,10000 unless told otherwise
  --tx-pages n,m       of a transaction, 1,16,256,4096,16000 unless told otherwise
  --latency-ms n,m     milliseconds of round trip to add, 0,1,5,10,20,50,100 unless told otherwise
  --json               one line of JSON a row, instead of tables`;

const args = optionsOf(usage, {
  "sizes-mib": { type: "string", default: "1,16,256,1024,4096" },
  actors: { type: "string", default: "1,10,100,1000,10000" },
  "tx-pages": { type: "string", default: "1,16,256,4096,16000" },
  "latency-ms": { type: "string", default: "0,1,5,10,20,50,100" },
  only: { type: "string", default: "size,actors,transaction,latency" },
  json: { type: "boolean", default: false },
});
const numbers = (name, least) => numbersOf(name, args[name], least);
const root = mkdtempSync(join(tmpdir(), "pagewire-scaling-"));
let serversStarted = 0;

/** Runs fn with a channel to a server of its own. */
async function withServer(latencyMs, fn, serverArgs = []) {
  const dir = join(root, String(serversStarted++));
  const service = await services.pagewire({ dir, latencyMs, args: serverArgs });
  try {
    const channel = await connect({ url: service.told.url });
    try {
      return await fn(channel, service.told.pid);
    } finally {
      await channel.close();
    }
  } finally {
    await service.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const table = "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB) STRICT";
const insertMany = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
  INSERT INTO t (v) SELECT randomblob(${rowBytes}) FROM n`;
const insertOne = `INSERT INTO t (v) VALUES (randomblob(${rowBytes}))`;
const byId = "SELECT length(v) AS n FROM t WHERE id = ?";

function verify(condition, what) {
  if (!condition) throw new Error(`wrong result: ${what}`);
}

const trips = async (channel, fn) => {
  const before = channel.metricsSync().channel.roundTrips;
  const begin = performance.now();
  const value = await fn();
  return { ms: performance.now() - begin, roundTrips: channel.metricsSync().channel.roundTrips - before, value };
};

/** A database of so many MiB, one row a page: filled, opened again, read cold, written. */
const size = (mib) =>
  withServer(0, async (channel, pid) => {
    const rows = Math.floor((mib * MIB) / 4096);
    let db = await channel.open("a");
    await db.exec(table);
    const begin = performance.now();
    for (let left = rows; left > 0; left -= 4096) await db.run(insertMany, [Math.min(left, 4096)]);
    const fillMs = performance.now() - begin;
    await db.close();
    const open = await trips(channel, async () => {
      db = await channel.open("a");
      return db.get(byId, [1]);
    });
    verify(open.value.n === rowBytes, "the first row");
    const cold = await trips(channel, () =>
      timed(20, async (i) => verify((await db.get(byId, [1 + ((i * 7919 + 13) % rows)])).n === rowBytes, "a row")),
    );
    const inserts = await timed(20, () => db.run(insertOne));
    await db.close();
    return {
      "size MiB": mib,
      "fill MiB/s": mib / (fillMs / 1000),
      "open and first query ms": open.ms,
      "its round trips": open.roundTrips,
      "cold point read ms": median(cold.value),
      "its round trips, mean": cold.roundTrips / 20,
      "insert ms": median(inserts),
      "client MiB": memoryKb("self") / 1024,
      "server MiB": memoryKb(pid) / 1024,
    };
  });

/** So many actors: opened, written once each at once, idle. */
const actors = (count) =>
  withServer(
    0,
    async (channel, pid) => {
      const before = { client: memoryKb("self"), server: memoryKb(pid) };
      const dbs = [];
      const opening = await trips(channel, async () => {
        for (let i = 0; i < count; i++) dbs.push(await channel.open(`a${i}`));
      });
      for (const db of dbs) await db.exec(table);
      const writing = await trips(channel, () => Promise.all(dbs.map((db) => db.run(insertOne))));
      for (const db of dbs) verify((await db.get("SELECT count(*) AS n FROM t")).n === 1, "a row of each");
      globalThis.gc?.();
      const result = {
        actors: count,
        "open ms each": opening.ms / count,
        "commits/s, all at once": count / (writing.ms / 1000),
        "client KiB each": (memoryKb("self") - before.client) / count,
        "server KiB each": (memoryKb(pid) - before.server) / count,
      };
      for (const db of dbs) await db.close();
      return result;
    },
    ["--max-connection-actors", "20000"],
  );

/** One transaction of so many pages. */
const transaction = (pages) =>
  withServer(0, async (channel) => {
    const db = await channel.open("a");
    await db.exec(table);
    const first = await trips(channel, () => db.run(insertMany, [pages]));
    const again = await trips(channel, () => db.run(`UPDATE t SET v = randomblob(${rowBytes})`));
    const { n } = await db.get("SELECT count(*) AS n FROM t");
    verify(n === pages, `${n} rows`);
    await db.close();
    return {
      "pages of the transaction": pages,
      "insert ms": first.ms,
      "round trips": first.roundTrips,
      "MiB/s": (pages * 4096) / MIB / (first.ms / 1000),
      "overwrite ms": again.ms,
    };
  });

/** The same calls behind so many milliseconds of round trip. */
const latency = (ms) =>
  withServer(ms, async (channel) => {
    let db = await channel.open("a");
    await db.exec(table);
    await db.run(insertMany, [2000]);
    await db.close();
    const opening = await timed(10, async () => {
      const one = await channel.open("a");
      verify((await one.get(byId, [1])).n === rowBytes, "the first row");
      await one.close();
    });
    db = await channel.open("a", { preload: 0 });
    const cold = await timed(10, (i) => db.get(byId, [100 + i * 150]));
    const inserts = await timed(20, () => db.run(insertOne));
    const hundred = await timed(3, () => Promise.all(Array.from({ length: 100 }, () => db.run(insertOne))));
    verify((await db.get("SELECT count(*) AS n FROM t")).n === 2320, "rows");
    await db.close();
    return {
      "added ms": ms,
      "open, query, close ms": median(opening),
      "cold point read ms": median(cold),
      "insert ms": median(inserts),
      "100 inserts at once ms": median(hundred),
    };
  });

const tables = {
  size: [size, numbers("sizes-mib", 1)],
  actors: [actors, numbers("actors", 1)],
  transaction: [transaction, numbers("tx-pages", 1)],
  latency: [latency, numbers("latency-ms")],
};
const chosen = listOf(args.only);
for (const name of chosen) {
  if (tables[name] === undefined) refuse(`no table ${name}; there are: ${Object.keys(tables).join(", ")}`);
}

process.on("SIGINT", () => {
  rmSync(root, { recursive: true, force: true }); // servers end with this process
  process.exit(130);
});
try {
  for (const name of chosen) {
    const [measure, points] = tables[name];
    for (const [i, point] of points.entries()) {
      const row = await measure(point);
      if (args.json) {
        const rounded = Object.entries(row).map(([key, value]) => [key, round(value)]);
        console.log(JSON.stringify({ scaling: name, ...Object.fromEntries(rounded) }));
        continue;
      }
      if (i === 0) console.log(`\n| ${Object.keys(row).join(" | ")} |\n|${" ---: |".repeat(Object.keys(row).length)}`);
      console.log(`| ${Object.values(row).map(figure).join(" | ")} |`);
    }
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
