// No database that keeps anything: an INSERT on SQLite in memory, and 20 KiB that echo-go's server syncs for it, through the
// hops of Pagewire's commit. See echo-go.c. Variants: "inline" has no worker; "core" goes through WebSocket, CBOR and Pebble.

import { insert } from "../data.mjs";
import { echoGoClient } from "../echo-go.mjs";

export default async function create({ service, variant }) {
  const { connect, send, close, exec, prepare, numbers } = echoGoClient();
  const inline = variant === "inline";
  let answered;
  let prepared = false;
  const done = (...row) =>
    new Promise((resolve) => {
      answered = resolve;
      send(inline, ...row);
    });
  const runner = { exec: async (sql) => void exec(sql) };
  const database = {
    ...runner,
    exchange: () => done(),
    run: (sql, row) => {
      if (sql !== insert) throw new Error(`only ${insert}`);
      if (!prepared) prepare(sql);
      prepared = true;
      return done(...row);
    },
    get: async (sql) => numbers(sql),
    transaction: async (fn) => {
      await runner.exec("BEGIN");
      await fn(runner);
      await runner.exec("COMMIT");
    },
    close,
  };
  return {
    serverPid: service.pid,
    open: async () => {
      connect(service.port, variant === "core", () => answered());
      return database;
    },
  };
}
