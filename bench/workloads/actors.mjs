// Many databases at once: throughput, processor time, memory.

import * as data from "../data.mjs";
import { memoryKb, meter } from "../meter.mjs";
import { byId, oneFile, opened } from "./shared.mjs";

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

export const actors = {
  "actors-16": {
    what: "autocommit INSERTs on 16 databases at once, durable commits a second",
    unit: "commits/s",
    higherIsBetter: true,
    latencies: [0],
    peerRounds: 3,
    targets: [{ latencyMs: 0, atLeast: 8000 }],
    async prepare(system) {
      // All at once, for rivetkit's engine leaves now and then an opening waiting for 15 s.
      const dbs = Array.from({ length: 16 }, (_, i) => opened(system, `actor-${i}`, 10));
      return (await Promise.all(dbs)).map((db) => ({ db, rows: 10 }));
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
    peerRounds: 1,
    long: true,
    targets: [
      { latencyMs: 0, metric: "cores", atMost: 0.5 },
      { latencyMs: 0, metric: "p99", atMost: 20 },
    ],
    without: {
      ...oneFile,
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
    long: true,
    restart: true,
    targets: [
      { latencyMs: 0, atMost: 64 },
      { latencyMs: 0, metric: "serverKb", atMost: 16 },
    ],
    without: {
      ...oneFile,
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
};
