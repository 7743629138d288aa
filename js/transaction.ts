// Transactions: the callback has the database to itself, nested ones are savepoints.

import { AsyncLocalStorage } from "node:async_hooks";
import { type Core, finishEpoch, finishExec, kinds } from "./core.js";
import { PagewireError } from "./errors.js";
import type { Limits } from "./limits.js";
import { Runner } from "./runner.js";

/**
 * What a transaction's callback is given: the same calls as the database has, inside the transaction.
 * It is over when the callback's promise settles; calls made later reject with "transaction_closed".
 */
export class Transaction extends Runner {
  /** @internal */
  constructor(
    core: Core,
    /** @internal */ readonly outer: Runner,
    epoch: number,
    readonly depth: number,
  ) {
    super(core);
    this.epoch = epoch;
  }

  /** @internal */
  override checkDeadlock(): void {
    refuseInside(this);
  }

  /** A savepoint: what the callback does is undone if it throws, and the transaction goes on. */
  transaction<R>(fn: (tx: Transaction) => Promise<R> | R, options?: Limits): Promise<R> {
    return transaction(this, fn, options);
  }

  transactionSync<R>(fn: (tx: Transaction) => R, options?: Limits): R {
    return transactionSync(this, fn, options);
  }
}

// Which transaction's callback is running. Following promises costs something, so it is only switched
// on while there is a transaction.
const inside = new AsyncLocalStorage<Transaction>();
let running = 0;

async function runInside<R>(tx: Transaction, fn: (tx: Transaction) => Promise<R> | R): Promise<R> {
  running++;
  try {
    return await inside.run(tx, fn, tx);
  } finally {
    if (--running === 0) inside.disable();
  }
}

/** Throws if a call on runner, which waits for a transaction, was made inside that very transaction. */
export function refuseInside(runner: Runner): void {
  for (let tx = inside.getStore(); tx !== undefined; tx = tx.outer instanceof Transaction ? tx.outer : undefined) {
    if (tx.outer === runner && tx.ended === undefined) {
      throw new PagewireError(
        "transaction_deadlock",
        "the call was made inside a transaction but not on its object: it would wait for the transaction to end, " +
          "which waits for it. Use the tx object that the callback is given",
      );
    }
  }
}

interface Words {
  begin: string;
  commit: string;
  rollback: string[];
}

function words(depth: number): Words {
  if (depth === 0) return { begin: "BEGIN IMMEDIATE", commit: "COMMIT", rollback: ["ROLLBACK"] };
  const name = `pagewire_${depth}`;
  return {
    begin: `SAVEPOINT ${name}`,
    commit: `RELEASE ${name}`,
    rollback: [`ROLLBACK TO ${name}`, `RELEASE ${name}`],
  };
}

/** Limits of a rollback: none, or a timeout of the database's calls would leave the transaction open. */
const unlimited: Limits = { timeout: 0 };

const depthOf = (runner: Runner) => (runner instanceof Transaction ? runner.depth + 1 : 0);

function end(tx: Transaction): void {
  for (const cursor of tx.cursors) cursor.close();
  tx.ended = new PagewireError(
    "transaction_closed",
    "the transaction has ended: its tx object cannot be used any more",
  );
  tx.gate.fail(tx.ended);
}

/** Runs fn in a transaction on runner, which is a savepoint if runner is a transaction itself. */
export async function transaction<R>(
  runner: Runner,
  fn: (tx: Transaction) => Promise<R> | R,
  options: Limits | undefined,
): Promise<R> {
  if (typeof fn !== "function") throw new TypeError("transaction: not a function");
  runner.check();
  if (runner.gate.held) {
    runner.checkDeadlock();
    await runner.gate.later(true, options, runner.core.defaults.timeout, () => {});
  } else {
    runner.gate.hold();
  }
  try {
    return await inTransaction(runner, fn, options);
  } finally {
    runner.gate.release();
  }
}

async function inTransaction<R>(
  runner: Runner,
  fn: (tx: Transaction) => Promise<R> | R,
  options: Limits | undefined,
): Promise<R> {
  const { core } = runner;
  const depth = depthOf(runner);
  const { begin, commit, rollback } = words(depth);
  runner.check();
  const epoch = await core.run(kinds.run, core.cached(begin), undefined, options, runner.epoch, finishEpoch);
  const tx = new Transaction(core, runner, epoch, depth);
  try {
    let result: R;
    try {
      result = await runInside(tx, fn);
    } finally {
      end(tx);
    }
    await core.run(kinds.run, core.cached(commit), undefined, options, epoch, finishExec);
    return result;
  } catch (error) {
    // If the transaction is gone already (lost, or rolled back by SQLite), there is nothing to undo.
    try {
      for (const sql of rollback) await core.run(kinds.run, core.cached(sql), undefined, unlimited, epoch, finishExec);
    } catch {
      // The error of the transaction is the one that matters.
    }
    throw error;
  }
}

/** The same in one go; fn must not be async. */
export function transactionSync<R>(runner: Runner, fn: (tx: Transaction) => R, options: Limits | undefined): R {
  if (typeof fn !== "function") throw new TypeError("transactionSync: not a function");
  runner.checkSync();
  const { core } = runner;
  const depth = depthOf(runner);
  const { begin, commit, rollback } = words(depth);
  runner.gate.hold();
  try {
    const epoch = core.runSync(kinds.run, core.cached(begin), undefined, options, runner.epoch, finishEpoch);
    const tx = new Transaction(core, runner, epoch, depth);
    try {
      let result: R;
      try {
        result = fn(tx);
        if (result instanceof Promise) {
          result.catch(() => {}); // its calls are refused from here on, and the caller is told below
          throw new TypeError("transactionSync: the function is async; use transaction()");
        }
      } finally {
        end(tx);
      }
      core.runSync(kinds.run, core.cached(commit), undefined, options, epoch, finishExec);
      return result;
    } catch (error) {
      try {
        for (const sql of rollback) core.runSync(kinds.run, core.cached(sql), undefined, unlimited, epoch, finishExec);
      } catch {
        // As above.
      }
      throw error;
    }
  } finally {
    runner.gate.release();
  }
}
