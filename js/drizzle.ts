// Drizzle over Pagewire, through the callbacks of drizzle-orm/sqlite-proxy, and the migrations of drizzle-kit.

import { createHash } from "node:crypto";
import type { Params } from "./options.js";
import {
  type ClientSession,
  type RawClient,
  rawClient,
  type TransactionOptions,
  transactionOf,
} from "./rivetkitclient.js";
import type { Runner } from "./runner.js";

type Method = "run" | "all" | "values" | "get";
// biome-ignore lint/suspicious/noExplicitAny: as in the types of drizzle-orm, which these must fit
type Any = any;

/** Runs one statement for Drizzle. Rows are arrays of values; method "get" gives the first of them alone. */
export type DrizzleCallback = (sql: string, params: Any[], method: Method) => Promise<{ rows: Any[] }>;
/** Runs several as one transaction, in one round trip. */
export type DrizzleBatch = (batch: { sql: string; params: Any[]; method: Method }[]) => Promise<{ rows: Any[] }[]>;

/** A Drizzle database whose transactions are Pagewire's, with the calls of the raw client beside its own. */
export type DrizzleClient<D extends object> = Omit<D, "transaction"> &
  Omit<RawClient, "transaction"> & {
    transaction: <T>(fn: (tx: DrizzleClient<D>) => Promise<T> | T, options?: TransactionOptions) => Promise<T>;
  };

/** What drizzle-kit generates with `driver: "durable-sqlite"`: the journal, and SQL by "m0000", "m0001", ... */
export interface DrizzleMigrations {
  journal: unknown;
  migrations: Record<string, string>;
}

const arrays = { rowMode: "array" } as const;

/** Drizzle on a database or on a transaction. Its own transactions would run among other calls, so they are replaced. */
export function drizzleClient<D extends object>(
  drizzle: (callback: DrizzleCallback, batch: DrizzleBatch) => D,
  runner: Runner,
  session: ClientSession,
): DrizzleClient<D> {
  const callback: DrizzleCallback = async (sql, params, method) => {
    const rows = await session.run(() => runner.all<Any>(sql, params, arrays));
    if (method === "run") return { rows: [] };
    return { rows: method === "get" ? rows[0] : rows };
  };
  const batch: DrizzleBatch = async (items) => {
    const calls = items.map(({ sql, params }) => [sql, params as Params] as const);
    const results = await session.run(() => runner.batch<Any>(calls, arrays));
    return results.map(({ rows }) => ({ rows: rows ?? [] }));
  };
  const { execute, close, pagewire } = rawClient(runner, session);
  const wrap = (inner: Runner, same: ClientSession) => drizzleClient(drizzle, inner, same);
  const transaction = <T>(fn: (tx: DrizzleClient<D>) => Promise<T> | T, options?: TransactionOptions) =>
    transactionOf(runner, session, wrap, fn, options);
  return Object.assign(drizzle(callback, batch), { execute, close, pagewire, transaction }) as DrizzleClient<D>;
}

interface JournalEntry {
  idx: number;
  tag: string;
  when: number;
}

function entriesOf(journal: unknown): JournalEntry[] {
  const entries = (journal as { entries?: unknown } | null)?.entries;
  if (!Array.isArray(entries))
    throw new TypeError("migrations.journal has no entries: pass what drizzle-kit generated");
  return entries as JournalEntry[];
}

/** Applies the migrations that are newer than the last one applied, on a transaction. The table is Drizzle's own. */
export async function migrate(tx: Runner, { journal, migrations }: DrizzleMigrations): Promise<void> {
  const entries = entriesOf(journal);
  await tx.run(
    "CREATE TABLE IF NOT EXISTS __drizzle_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, hash TEXT NOT NULL, created_at NUMERIC)",
  );
  const last = (await tx.get<{ at: number | null }>("SELECT max(created_at) AS at FROM __drizzle_migrations"))?.at ?? 0;
  for (const { idx, tag, when } of entries) {
    if (when <= last) continue;
    const key = `m${String(idx).padStart(4, "0")}`;
    const sql = migrations[key];
    if (sql === undefined)
      throw new TypeError(`migrations has no ${key}, which the journal calls ${JSON.stringify(tag)}`);
    for (const part of sql.split("--> statement-breakpoint")) if (part.trim() !== "") await tx.exec(part);
    const hash = createHash("sha256").update(sql).digest("hex");
    await tx.run("INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)", [hash, when]);
  }
}
