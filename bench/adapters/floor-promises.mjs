// The least that a binding can do for a point read if it keeps what Pagewire promises: read-promises.c, whose comment lists
// the promises. JavaScript's part of them: a statement or database that is closed, lost or in a transaction refuses, a call
// may have limits, parameters are checked, and rows may hold any value. In the variant "held" a read transaction stays open.

import { deepStrictEqual } from "node:assert";
import { decoderOf, library } from "./floor.mjs";

const { exec, promiseChanged, promiseHold, promiseOpen, promisePrepare } = library;

const NULL = 0; // the types of read-promises.c; a BIGINT is none of those that are named here
const INT = 1;
const REAL = 2;
const TEXT = 3;
const BLOB = 4;
const OTHER = 6;

const noBlob = new Uint8Array(0);

const casesOf = (c) => `
  case ${INT}: case ${REAL}: v${c} = f64[${c}]; break;
  case ${TEXT}: v${c} = text.substring(p, p += f64[${c}]); break;
  case ${BLOB}: v${c} = blob.slice(b, b += f64[${c}]); break;
  case ${NULL}: v${c} = null; break;
  default: v${c} = i64[${c}];`;

/** The getSync(params, options) of a statement, as long as the schema is the same; then again() answers a new one. */
function reader(database, sql, again) {
  const [get, buffer, room, count, ...names] = promisePrepare(sql);
  const f64 = new Float64Array(buffer);
  const u8 = new Uint8Array(buffer);
  const types = 8 * room;
  const decode = decoderOf(names, { f64, u8, i64: new BigInt64Array(buffer) }, types, casesOf);
  return (params, options) => {
    if (database.stopped !== undefined) throw database.stopped;
    if (options !== undefined) throw new Error("no limits are given in this benchmark");
    if (!Array.isArray(params) || params.length !== count) throw new TypeError(`not ${count} parameters`);
    let others = false;
    for (let i = 0; i < count; i++) {
      const value = params[i];
      if (typeof value === "number" || typeof value === "boolean") {
        f64[i] = value;
        u8[types + i] = REAL;
      } else {
        others ||= value !== null;
        u8[types + i] = value === null ? NULL : OTHER;
      }
    }
    const text = others ? get(...params) : get();
    if (typeof text === "string") {
      database.last = decode(text, noBlob); // a row that nobody keeps is not made
      return database.last;
    }
    if (text === undefined) return undefined; // no row
    return text === false ? again()(params, options) : decode(text[0], new Uint8Array(text[1]));
  };
}

/** Throws unless what is said above of values and schemas is so. */
async function check(database) {
  const values = [
    null,
    2 ** 53 - 1,
    2n ** 62n,
    -0,
    0.5,
    "",
    "text",
    "t\u00e9xt \u{1f600}\0",
    noBlob,
    new Uint8Array([0, 255]),
  ];
  const names = values.map((_, i) => `v${i}`);
  const echo = database.prepare(`SELECT ${names.map((name) => `? AS ${name}`)}`);
  deepStrictEqual(echo.getSync(values), Object.fromEntries(names.map((name, i) => [name, values[i]])));
  await database.exec("CREATE TABLE checked(a); INSERT INTO checked VALUES(1)");
  const all = database.prepare("SELECT * FROM checked");
  deepStrictEqual(all.getSync([]), { a: 1 });
  await database.exec("ALTER TABLE checked ADD COLUMN b DEFAULT 'more'");
  deepStrictEqual(all.getSync([]), { a: 1, b: "more" });
  await database.exec("DROP TABLE checked");
}

export default async function create({ variant }) {
  promiseOpen();
  const runner = {
    exec: async (sql) => {
      exec(sql);
      promiseChanged();
    },
  };
  const database = {
    ...runner,
    last: undefined,
    stopped: undefined,
    transaction: async (fn) => {
      await runner.exec("BEGIN");
      await fn(runner);
      await runner.exec("COMMIT");
    },
    prepare(sql) {
      const statement = {};
      const again = () => {
        statement.getSync = reader(database, sql, again);
        return statement.getSync;
      };
      again();
      return statement;
    },
  };
  await check(database);
  let held = variant !== "held";
  return {
    inMemory: true,
    open: async () => ({
      ...database,
      prepare(sql) {
        if (!held) promiseHold(); // now that the database is filled
        held = true;
        return database.prepare(sql);
      },
    }),
  };
}
