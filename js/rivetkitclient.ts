// What an actor of RivetKit finds in c.db: RivetKit's own calls, and Pagewire's behind them.

import type { Database } from "./database.js";
import { PagewireError } from "./errors.js";
import { timeoutOf } from "./limits.js";
import type { Params } from "./options.js";
import type { Runner } from "./runner.js";
import { Transaction } from "./transaction.js";

export interface TransactionOptions {
  /** Milliseconds until the transaction is given up and rolled back; none unless told otherwise. */
  timeout?: number;
  /** Accepted, and of no effect here. */
  name?: string;
}

/** RivetKit's raw client. Inside a transaction it is the transaction's. */
export interface RawClient {
  /**
   * Runs SQL and resolves to its rows. Parameters follow the text, or are one object of names. Text of several statements
   * is run as a script, which takes no parameters and whose rows are dropped.
   */
  execute: <TRow extends Record<string, unknown> = Record<string, unknown>>(
    query: string,
    ...args: unknown[]
  ) => Promise<TRow[]>;
  /** Runs fn in a transaction that it has to itself, or in a savepoint; rolls back if it throws. */
  transaction: <T>(fn: (tx: RawClient) => Promise<T> | T, options?: TransactionOptions) => Promise<T>;
  /** RivetKit calls it when the actor stops: resolves when every commit is durable and the lock is given back. */
  close: () => Promise<void>;
  /** Everything else that Pagewire can: iterate(), prepare(), batch(), the synchronous calls, metrics(). */
  readonly pagewire: Database | Transaction;
}

/** The actor's session, as clients see it. */
export interface ClientSession {
  run<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Makes the client of a database or of a transaction. */
export type Wrap<Client> = (runner: Runner, session: ClientSession) => Client;

function paramsOf(args: unknown[]): Params {
  const [first] = args;
  if (args.length === 1 && typeof first === "object" && first !== null) {
    const prototype = Object.getPrototypeOf(first);
    if (prototype === Object.prototype || prototype === null) return first as Params;
  }
  return args as Params;
}

async function execute(runner: Runner, query: string, args: unknown[]): Promise<unknown[]> {
  if (args.length > 0) return runner.all(query, paramsOf(args));
  try {
    return await runner.all(query);
  } catch (error) {
    // The text was looked at and nothing has run.
    const { code } = error as { code?: unknown };
    if (code !== "multiple_statements" && code !== "empty_statement") throw error;
    await runner.exec(query);
    return [];
  }
}

/** Rejects when the time is up; what fn still does with the transaction is refused, for that ends. */
async function within<T>(work: Promise<T>, timeout: number): Promise<T> {
  if (timeout === 0) return work;
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const text = `the transaction was still under way after ${timeout} ms and is rolled back`;
      reject(new PagewireError("timeout", text));
    }, timeout);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** A transaction on runner, with RivetKit's options, whose callback is given a client of its own. */
export async function transactionOf<Client, T>(
  runner: Runner,
  session: ClientSession,
  wrap: Wrap<Client>,
  fn: (tx: Client) => Promise<T> | T,
  options: (TransactionOptions & { experimental?: { includeState?: boolean } }) | undefined,
): Promise<T> {
  const timeout = timeoutOf(options?.timeout, 0);
  if (options?.experimental?.includeState) {
    throw new PagewireError("unsupported", "includeState: the actor's state is not stored in its Pagewire database");
  }
  const limits = timeout === 0 ? undefined : { timeout };
  const target = runner as Database | Transaction;
  return session.run(() => target.transaction((tx) => within((async () => fn(wrap(tx, session)))(), timeout), limits));
}

/** The raw client of a database or of a transaction. */
export const rawClient: Wrap<RawClient> = (runner, session) => ({
  execute: (query, ...args) => session.run(() => execute(runner, query, args)) as Promise<never[]>,
  transaction: (fn, options) => transactionOf(runner, session, rawClient, fn, options),
  // A transaction ends with its callback.
  close: () => (runner instanceof Transaction ? Promise.resolve() : session.close()),
  pagewire: runner as Database | Transaction,
});
