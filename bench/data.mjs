// The table that every workload uses, its rows, and how they are verified. A row follows from its number alone, so
// whoever reads one knows what it must hold.

import { createHash } from "node:crypto";

export const schema = [
  "CREATE TABLE IF NOT EXISTS bench(id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, value TEXT, num REAL, created_at INTEGER)",
  "CREATE INDEX IF NOT EXISTS bench_key ON bench(key)",
  "CREATE INDEX IF NOT EXISTS bench_num ON bench(num)",
];
export const insert = "INSERT INTO bench(key, value, num, created_at) VALUES(?, ?, ?, ?)";

const rowsAStatement = 200;
const rowsATransaction = 10_000;

// Hexadecimal digits that do not repeat within 64 KiB: a compressor gets 2:1 at best.
const pool = Array.from({ length: 1024 }, (_, i) => createHash("sha256").update(`pagewire ${i}`).digest("hex")).join(
  "",
);

/** Hexadecimal text of so many characters, another for every n. */
export function text(n, chars) {
  let at = (n * 7919) % (pool.length - 1);
  let made = "";
  while (made.length < chars) {
    made += pool.slice(at, at + chars - made.length);
    at = (at * 31 + n + 17) % (pool.length - 1);
  }
  return made;
}

/** A number of [0, 2^30) that looks random, times 1/4: exact as a double. */
export const numOf = (n) => ((Math.imul(n, 2654435761) >>> 0) % 2 ** 30) / 4;

/** The parameters of `insert` for row n. */
export const rowOf = (n, chars = 100) => [`key-${n}`, text(n, chars), numOf(n), 1_700_000_000_000 + n];

const wrong = (what) => new Error(`wrong result: ${what}`);

export function expect(condition, what) {
  if (!condition) throw wrong(what);
}

/** Checks every column of the row numbered n. */
export function expectRow(row, n, chars = 100) {
  if (row === undefined || row === null) throw wrong(`row ${n} is missing`);
  const [key, value, num, created] = rowOf(n, chars);
  if (
    Number(row.id) !== n ||
    row.key !== key ||
    row.value !== value ||
    row.num !== num ||
    Number(row.created_at) !== created
  ) {
    throw wrong(`row ${n} does not hold what was written`);
  }
}

/** Checks count, sum of ids and sum of num of the rows 1 to n, less exact where not all are given. */
export async function expectRows(db, n) {
  const row = await db.get("SELECT count(*) AS n, sum(id) AS ids, sum(num) AS nums FROM bench");
  let nums = 0;
  for (let i = 1; i <= n; i++) nums += numOf(i);
  expect(Number(row.n) === n, `${row.n} rows instead of ${n}`);
  expect(Number(row.ids) === (n * (n + 1)) / 2, `the ids add up to ${row.ids}`);
  expect(Math.abs(row.nums - nums) <= nums * 1e-9, `the numbers add up to ${row.nums} instead of ${nums}`);
}

export async function createTable(db) {
  for (const sql of schema) await db.exec(sql);
}

// Texts of our own make, without quotes in them.
function values(ids, chars) {
  return ids.map((n) => {
    const [key, value, num, created] = rowOf(n, chars);
    return `(${n},'${key}','${value}',${num.toFixed(2)},${created})`;
  });
}

// 200 rows a statement: plain SQL that every system understands.
async function insertSome(tx, ids, chars) {
  for (let at = 0; at < ids.length; at += rowsAStatement) {
    const some = values(ids.slice(at, at + rowsAStatement), chars);
    await tx.exec(`INSERT INTO bench(id, key, value, num, created_at) VALUES ${some.join(",")}`);
  }
}

/** Inserts the rows of these numbers, 10,000 a transaction. */
export async function insertRows(db, ids, chars = 100) {
  for (let at = 0; at < ids.length; at += rowsATransaction) {
    await db.transaction((tx) => insertSome(tx, ids.slice(at, at + rowsATransaction), chars));
  }
}

export const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1);

/** The numbers 1 to n in an order that looks random and is always the same. */
export function shuffled(n) {
  const ids = upTo(n);
  let state = 1;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [ids[i], ids[j]] = [ids[j], ids[i]];
  }
  return ids;
}

/** A table with the rows 1 to n, of which the first come with it in one commit. */
export async function fill(db, n, chars = 100) {
  const ids = upTo(n);
  await db.transaction(async (tx) => {
    await createTable(tx);
    await insertSome(tx, ids.slice(0, rowsATransaction), chars);
  });
  await insertRows(db, ids.slice(rowsATransaction), chars);
}
