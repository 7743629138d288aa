// The least that a binding with packed rows can do for a point read: read-floor.c, which is no system but a limit. Its
// SQLite is the source that Pagewire's is built from, with the same options.

import { addon } from "../compile.mjs";
import { withSqlite } from "../sqlite.mjs";

/** Its functions, and those of read-promises.c. */
export const library = addon("read-floor", withSqlite, ["read-promises.c", "read-floor.h"]);
const { exec, prepare, get, again, loop, handle } = library;

const names = ["id", "key", "value", "num", "created_at"];

/**
 * A function (text, blob) that makes an object of a row, as js/rows.ts compiles one. `memory` has its numbers as f64 and
 * the types of its columns in u8, from `types` on; casesOf(c) are the cases of the switch that sets column c.
 */
export function decoderOf(names, memory, types, casesOf) {
  const cells = names.map((_, c) => `switch (u8[${types + c}]) {${casesOf(c)}}`);
  const source = `return (text, blob) => {
    let p = 0, b = 0, ${names.map((_, c) => `v${c}`)};
    ${cells.join("\n")}
    return {${names.map((name, c) => `${JSON.stringify(name)}: v${c}`)}};
  };`;
  return new Function(...Object.keys(memory), source)(...Object.values(memory));
}

const INTEGER = 1; // SQLite's types
const REAL = 2;
const TEXT = 3;
const casesOf = (c) => `
  case ${INTEGER}: case ${REAL}: v${c} = f64[${c}]; break;
  case ${TEXT}: v${c} = text.substring(p, p += f64[${c}]); break;
  default: v${c} = null;`;

export default async function create() {
  const runner = { exec: async (sql) => void exec(sql) };
  let statement;
  const database = {
    ...runner,
    last: undefined, // a row that nobody keeps is not made: here the compiler sees all that is done with it
    transaction: async (fn) => {
      await runner.exec("BEGIN");
      await fn(runner);
      await runner.exec("COMMIT");
    },
    prepare(sql) {
      if (statement !== undefined) return statement; // there is only one
      const buffer = prepare(sql);
      const memory = { f64: new Float64Array(buffer), u8: new Uint8Array(buffer) };
      const decode = decoderOf(names, memory, 8 * names.length, casesOf);
      statement = {
        getSync: ([id]) => (database.last = decode(get(handle, id))),
        /** The call and the object of the last row again, without SQLite. */
        againSync: ([id]) => (database.last = decode(again(handle, id))),
      };
      return statement;
    },
    /** Milliseconds of a read in C, the mean of n. */
    loop: (n) => loop(n) / 1e6,
  };
  return { inMemory: true, open: async () => database };
}
