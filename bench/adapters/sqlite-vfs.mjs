// @rivetkit/sqlite-vfs: SQLite in WebAssembly, whose pages go through asynchronous key-value callbacks. The store behind
// them is a Map in this process; every callback waits for the round trip first. One WebAssembly instance a database.

import { SqliteVfs } from "@rivetkit/sqlite-vfs";

/** The key-value driver that the VFS asks for, over one Map. */
function driverOf(map, network) {
  const id = (key) => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
  const trip = (fn) => async (arg, value) => {
    network.roundTrips++;
    if (network.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, network.delayMs));
    return fn(arg, value);
  };
  const put = (key, value) => void map.set(id(key), value.slice());
  return {
    get: trip((key) => map.get(id(key)) ?? null),
    getBatch: trip((keys) => keys.map((key) => map.get(id(key)) ?? null)),
    put: trip(put),
    putBatch: trip((entries) => {
      for (const [key, value] of entries) put(key, value);
    }),
    deleteBatch: trip((keys) => {
      for (const key of keys) map.delete(id(key));
    }),
    onError: (error) => {
      throw error;
    },
  };
}

export default async function create({ latencyMs }) {
  const stores = new Map();
  const network = { delayMs: latencyMs, roundTrips: 0 };

  async function open(name) {
    if (!stores.has(name)) stores.set(name, new Map());
    const vfs = new SqliteVfs();
    const db = await vfs.open(name, driverOf(stores.get(name), network));
    const all = async (sql, params) => {
      const { rows, columns } = await db.query(sql, params);
      return rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]])));
    };
    const runner = {
      exec: (sql) => db.exec(sql),
      run: (sql, params) => db.run(sql, params),
      all,
      get: async (sql, params) => (await all(sql, params))[0],
    };
    const transaction = async (fn) => {
      await db.exec("BEGIN");
      await fn(runner);
      await db.exec("COMMIT");
    };
    return {
      ...runner,
      prepare: (sql) => ({
        get: (params) => runner.get(sql, params),
        all: (params) => all(sql, params),
        run: (params) => db.run(sql, params),
      }),
      transaction,
      batch: (items) =>
        transaction(async () => {
          for (const [sql, params] of items) await db.run(sql, params);
        }),
      close: async () => {
        await db.close();
        await vfs.destroy();
      },
    };
  }

  return {
    counters: () => ({ roundTrips: network.roundTrips }),
    /** Filling a table makes a callback a page: it is done without the delay. */
    unmeasured: async (fn) => {
      const before = network.delayMs;
      network.delayMs = 0;
      try {
        return await fn();
      } finally {
        network.delayMs = before;
      }
    },
    open,
    remove: async (name) => void stores.delete(name),
  };
}
