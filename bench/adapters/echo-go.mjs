// No database that keeps anything: INSERTs on SQLite in memory, and pages that echo-go's server syncs for them, through the
// hops of Pagewire's commit. See echo-go.c. Variants: "inline" has no worker; "core" goes through WebSocket, CBOR and Pebble.

import { insert } from "../data.mjs";
import { echoGoClient } from "../echo-go.mjs";

const pagesOf = { row: 5, thousand: 64 }; // that INSERTs change: as many as Pagewire commits for them

export default async function create({ service, variant }) {
  const { connect, send, close, exec, prepare, numbers: first } = echoGoClient();
  const inline = variant === "inline";
  const numbers = new Float64Array(4 * 1000); // of the rows under way: lengths of key and value, num, created_at
  let answered;
  const done = (pages, rows) => {
    let text = "";
    let at = 0;
    for (const [key, value, num, createdAt] of rows) {
      text += key + value;
      numbers[at++] = key.length;
      numbers[at++] = value.length;
      numbers[at++] = num;
      numbers[at++] = createdAt;
    }
    return new Promise((resolve) => {
      answered = resolve;
      send(inline, pages, rows.length, text, numbers);
    });
  };
  const runner = { exec: async (sql) => void exec(sql) };
  let prepared = false;
  const inserting = (sql) => {
    if (sql !== insert) throw new Error(`only ${insert}`);
    if (!prepared) prepare(sql);
    prepared = true;
  };
  const database = {
    ...runner,
    exchange: () => done(pagesOf.row, []),
    run: (sql, row) => {
      inserting(sql);
      return done(pagesOf.row, [row]);
    },
    batch: (statements) => {
      inserting(statements[0][0]);
      return done(
        pagesOf.thousand,
        statements.map(([, row]) => row),
      );
    },
    get: async (sql) => first(sql),
    transaction: async (fn) => {
      await runner.exec("BEGIN");
      await fn(runner);
      await runner.exec("COMMIT");
    },
    close: () => {
      prepared = false;
      close();
    },
  };
  return {
    serverPid: service.pid,
    open: async () => {
      connect(service.port, variant === "core", () => answered());
      return database;
    },
    remove: async () => {},
  };
}
