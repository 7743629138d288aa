// Holds what is stored against what was promised.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readLog } from "./log.mjs";
import { accounts, balance, bodyOf, broken, invariant, tables } from "./schema.mjs";

/** Was the attempt refused so that it must not be stored? The other codes leave that open, and say so. */
const isFinal = ({ code, message }) =>
  !["commit_indeterminate", "timeout", "aborted"].includes(code) && !message.includes("may still become durable");

/** What clients were promised, read from their logs: attempts by id, and how often which event happened. */
export function readPromises(directory) {
  const attempts = new Map();
  const events = {};
  const violations = [];
  for (const file of readdirSync(directory)) {
    for (const line of readLog(join(directory, file))) {
      if (line.try !== undefined) attempts.set(line.try, { ...line, outcome: "unknown" });
      else if (line.ok !== undefined) attempts.get(line.ok).outcome = "ok";
      else if (line.no !== undefined)
        Object.assign(attempts.get(line.no), { outcome: isFinal(line) ? "refused" : "unknown", code: line.code });
      else if (line.violation !== undefined) violations.push(`${file}: ${line.violation}`);
      else events[line.event] = (events[line.event] ?? 0) + 1;
    }
  }
  return { attempts, events, violations };
}

/** Checks one actor's database. Calls lost, duplicated and wrong, each with a text. */
export async function auditActor(db, attempts, { lost, duplicated, wrong }) {
  const say = (text) => wrong(`${db.actor}: ${text}`);
  for (const { integrity_check: found } of await db.all("PRAGMA integrity_check"))
    if (found !== "ok") say(`integrity_check: ${found}`);
  for (const row of await db.all("PRAGMA foreign_key_check")) say(`foreign_key_check: ${JSON.stringify(row)}`);
  const state = broken(await db.get(invariant));
  if (state !== undefined) say(state);

  const stored = new Map();
  for (const kind of tables) {
    const sql = kind === "part" ? partsById : `SELECT id, count(*) AS n FROM ${kind} GROUP BY id`;
    for await (const { id, n } of db.iterate(sql)) {
      if (attempts.get(id)?.kind !== kind || attempts.get(id).actor !== db.actor)
        say(`${kind} ${id} is stored, and nobody stored it there`);
      stored.set(id, n);
    }
  }
  for (const [id, { actor, kind, outcome, code }] of attempts) {
    if (actor !== db.actor) continue;
    const n = stored.get(id) ?? 0;
    const said = `${db.actor}: ${kind} ${id} (${outcome}${code === undefined ? "" : `, ${code}`}) is stored ${n} times`;
    if (outcome === "ok" && n < 1) lost(said);
    else if (n > 1) duplicated(said);
    else if (outcome === "refused" && n !== 0) wrong(said);
    else if (n !== 0 && n !== 1) wrong(said);
  }
  await auditBalances(db, say);
  for await (const { id, size, body } of db.iterate("SELECT * FROM large WHERE length(body) > 0")) {
    if (!bodyOf(id, size).equals(body)) say(`the large row ${id} is damaged`);
  }
}

// 1 for all parts once, 2 for all of them twice, a fraction for a torn batch.
const partsById = "SELECT id, count(*) * 1.0 / max(total) AS n FROM part GROUP BY id";

async function auditBalances(db, say) {
  const sql = `SELECT id, balance, ${balance}
    - (SELECT coalesce(sum(amount), 0) FROM transfer WHERE payer = account.id)
    + (SELECT coalesce(sum(amount), 0) FROM transfer WHERE payee = account.id) AS due FROM account`;
  const rows = await db.all(sql);
  if (rows.length !== accounts) say(`${rows.length} accounts`);
  for (const { id, balance, due } of rows)
    if (balance !== due) say(`account ${id} has ${balance}, its transfers leave ${due}`);
}
