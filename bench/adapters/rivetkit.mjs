// rivetkit with its engine. This process hosts the actors; a call of their action "serve" lends the actor's database and keys to
// the workload and stays under way until what was lent is closed, so every statement runs, and is timed, inside the actor.
// Closing puts the actor to sleep; opening wakes it through the engine, as a caller would.

import { setTimeout as sleep } from "node:timers/promises";
import { actor, setup } from "rivetkit";
import { createClient } from "rivetkit/client";
import { db } from "rivetkit/db";

const retried = /route_resolve_query_timeout|actor_ready_timeout|actor_wake|service_unavailable|guard|pegboard/;
const attempts = 4;

// The engine learns after onSleep that the actor is gone, and tells nobody; a call before that is lost for 15 s.
const settleMs = 700;

/** A promise with its two ends. */
function deferred() {
  let resolve;
  let reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

const opening = new Map(); // name -> deferred of the actor's { database, kv, release }
const asleep = new Map(); // name -> deferred

const provider = db({ warnOnManualTransactions: false });
const lender = actor({
  db: provider,
  options: { actionTimeout: 600_000, sleepTimeout: 1_800_000, noSleep: false },
  onSleep: (c) => asleep.get(c.key[0])?.resolve(),
  actions: {
    serve: async (c) => {
      const released = deferred();
      opening.get(c.key[0]).resolve({ database: c.db, kv: c.kv, release: released.resolve });
      await released.promise;
    },
    sleepNow: (c) => c.sleep(),
  },
});

function runnerOf(client) {
  const all = (sql, params = []) => client.execute(sql, ...params);
  return {
    exec: (sql) => client.execute(sql),
    run: all,
    all,
    get: async (sql, params) => (await all(sql, params))[0],
  };
}

function databaseOf({ database }) {
  const runner = runnerOf(database);
  const transaction = (fn) => database.transaction((tx) => fn(runnerOf(tx)));
  return {
    ...runner,
    prepare: (sql) => ({
      get: (params) => runner.get(sql, params),
      all: (params) => runner.all(sql, params),
      run: (params) => runner.run(sql, params),
    }),
    transaction,
    batch: (items) =>
      transaction(async (tx) => {
        for (const [sql, params] of items) await tx.run(sql, params);
      }),
  };
}

const keysOf = ({ kv }) => ({
  get: (key) => kv.get(key, { type: "binary" }),
  put: (key, value) => kv.put(key, value),
});

export default async function create({ service }) {
  const headers = { Authorization: `Bearer ${service.token}` };
  const registry = setup({ use: { lender }, logging: { level: "error" } });
  registry.start();
  await service.untilRegistered(headers);
  const client = createClient({ endpoint: service.direct, token: service.token, disableMetadataLookup: true });

  // The engine now and then loses a wake, and answers so after 15 s.
  async function retrying(fn) {
    for (let i = 1; ; i++) {
      try {
        return await fn();
      } catch (error) {
        if (i === attempts || !retried.test(`${error.group} ${error.code}`)) throw error;
      }
    }
  }

  const awake = new Set();

  // What an actor lends, with a close() that gives it back.
  async function lend(name, handles) {
    const lent = deferred();
    opening.set(name, lent);
    const handle = client.lender.getOrCreate([name]);
    const serving = retrying(() => handle.serve());
    serving.catch((error) => lent.reject(error));
    const { release, ...own } = await lent.promise;
    const inUse = {
      ...handles(own),
      close: async () => {
        awake.delete(inUse);
        const slept = deferred();
        asleep.set(name, slept);
        release();
        await serving;
        await retrying(() => handle.sleepNow());
        await slept.promise;
        await sleep(settleMs);
      },
    };
    awake.add(inUse);
    return inUse;
  }

  return {
    serverPid: service.pid,
    open: (name) => lend(name, databaseOf),
    openKv: (name) => lend(name, keysOf),
    remove: async () => {},
    closeAll: async () => {
      for (const inUse of [...awake]) await inUse.close();
    },
  };
}
