// The least that a binding with packed rows can do for a point read: read-floor.c, which is no system but a limit. Its
// SQLite is the source that Pagewire's is built from, with the same options.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { addon } from "../compile.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

function go(...args) {
  const { status, stdout, error } = spawnSync("scripts/go", args, { encoding: "utf8", cwd: root });
  if (status !== 0) throw new Error(`go ${args.join(" ")}: ${error ?? status}`);
  return stdout.trim();
}

const { exec, prepare, get, again, loop, handle } = addon("read-floor", () => {
  const sqlite = go(
    "list",
    "-f",
    "{{.Dir}}/sqlite3-binding.c {{range .CgoCFLAGS}} {{.}}{{end}}",
    "github.com/mattn/go-sqlite3",
  );
  return `${sqlite} ${go("env", "CGO_CFLAGS")}`;
});

const names = ["id", "key", "value", "num", "created_at"];

/** A function that makes an object of the row that is packed in buffer and text, as js/rows.ts compiles one. */
function decoderOf(buffer) {
  const INTEGER = 1; // SQLite's types
  const REAL = 2;
  const TEXT = 3;
  const cells = names.map(
    (_, c) => `switch (u8[${8 * names.length + c}]) {
      case ${INTEGER}: case ${REAL}: v${c} = f64[${c}]; break;
      case ${TEXT}: v${c} = text.substring(p, p += f64[${c}]); break;
      default: v${c} = null;
    }`,
  );
  const source = `return (text) => {
    let p = 0, ${names.map((_, c) => `v${c}`)};
    ${cells.join("\n")}
    return {${names.map((name, c) => `${name}: v${c}`)}};
  };`;
  return new Function("f64", "u8", source)(new Float64Array(buffer), new Uint8Array(buffer));
}

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
      const decode = decoderOf(prepare(sql));
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
