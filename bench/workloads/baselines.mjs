// What stands beside any system: loading its library, the network itself, and the parts of a read.

import * as data from "../data.mjs";
import { loadAddon } from "../load.mjs";
import { meter, timed } from "../meter.mjs";
import { median } from "../stats.mjs";
import { byId, coreFloor, opened } from "./shared.mjs";

/** A part of the least that a point read can cost: adapters/floor.mjs. */
const ofRead = {
  unit: "us",
  latencies: [0],
  only: ["floor"],
  prepare: (system) => opened(system, "read", 1000),
};

export const baselines = {
  "addon-load": {
    what: "require() of the library in a new process, its file warm, until a first call has entered it",
    unit: "ms",
    latencies: [0],
    targets: [
      { latencyMs: 0, atMost: 5, floor: coreFloor },
      { latencyMs: 0, metric: "privateMib", atMost: 3, floor: coreFloor },
      { latencyMs: 0, metric: "fileMib", atMost: 9, floor: coreFloor },
    ],
    only: ["pagewire", "better-sqlite3-memory", "node-sqlite-memory", "libsql-normal", "turso-normal", "echo-go-core"],
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

  echo: exchange("20 KiB there and 64 bytes back on a bare TCP connection: what a round trip is worth", false),
  "echo-synced": exchange(
    "the same, in a file and synced before the answer: what a durable commit is worth; echo-threads: through the " +
      "threads that a commit needs; echo-go: through those of Pagewire, both ends in Go",
    true,
  ),

  "read-sqlite": {
    what: "the statement of warm-point-read-sync in a loop of C, on SQLite in memory: bind, step, five columns, reset",
    ...ofRead,
    async round(system, db) {
      db.prepare(byId);
      const m = meter(system);
      return m.stop([db.loop(50_000)]);
    },
  },

  "read-call": {
    what: "the call into C and the object of its row, without SQLite between them",
    ...ofRead,
    async round(system, db) {
      const statement = db.prepare(byId);
      data.expectRow(statement.getSync([7]), 7);
      const m = meter(system);
      const n = 10_000;
      const samples = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        const begin = performance.now();
        statement.againSync([7]);
        samples[i] = performance.now() - begin;
      }
      return m.stop(samples);
    },
  },
};

/** Exchanges of a request and an answer with echo-server.mjs, through the same delay as all else. */
function exchange(what, sync) {
  return {
    what,
    unit: "us",
    latencies: [0, 10],
    only: ["echo", "echo-threads", "echo-go"],
    async round(system, _state, _round, { latencyMs }) {
      const connection = await system.open(sync);
      const once = () => connection.exchange();
      await timed(5, once);
      const m = meter(system);
      const result = m.stop(await timed(latencyMs === 0 ? 500 : 50, once));
      connection.close();
      return result;
    },
  };
}
