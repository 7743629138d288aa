// An open database.

import { callSync, callToClose } from "./calls.js";
import type { Channel } from "./channel.js";
import { Core, type Defaults } from "./core.js";
import { PagewireError } from "./errors.js";
import { checkLimits, type Limits } from "./limits.js";
import { type DatabaseMetrics, nameMetrics } from "./metrics.js";
import { native } from "./native.js";
import { Runner } from "./runner.js";
import { refuseInside, type Transaction, transaction, transactionSync } from "./transaction.js";

/** What the server told when the database was opened. */
export interface Opened {
  handle: number;
  generation: number;
  seq: number;
  size: number;
  usedBytes: number;
}

/** An actor's database, open for as long as this object is not closed. */
export class Database extends Runner {
  /** The fence: every write of this handle carries it. */
  readonly generation: number;
  /** Bytes of the database file when it was opened. */
  readonly openedSize: number;
  #closing: Promise<void> | undefined;
  #released = false;

  /** @internal */
  constructor(
    readonly channel: Channel,
    readonly actor: string,
    opened: Opened,
    defaults: Defaults,
  ) {
    const db = native().dbGet(opened.handle);
    if (db === null) throw new PagewireError("closed", "the database was closed while it was being opened");
    super(new Core(db, opened.handle, defaults));
    this.generation = opened.generation;
    this.openedSize = opened.size;
  }

  /** Is the database open? */
  get isOpen(): boolean {
    return this.core.stop === undefined;
  }

  /** @internal */
  override checkDeadlock(): void {
    refuseInside(this);
  }

  /**
   * Runs fn in a transaction that it has to itself: other calls on this database wait for it, in order.
   * Commits when fn's promise resolves, rolls back and rejects when it rejects.
   */
  transaction<R>(fn: (tx: Transaction) => Promise<R> | R, options?: Limits): Promise<R> {
    return transaction(this, fn, options);
  }

  /** The same in one go, while this thread waits; fn must not be async. */
  transactionSync<R>(fn: (tx: Transaction) => R, options?: Limits): R {
    return transactionSync(this, fn, options);
  }

  /** Counters since the database was opened: docs/metrics.md. */
  metrics(): DatabaseMetrics {
    if (this.#released) this.check();
    return nameMetrics(this.core.metrics());
  }

  /**
   * Closes the database when what was called before is done and every commit is durable. The actor may be
   * opened elsewhere from then on. Calls made later reject with code "closed".
   */
  close(options?: Limits): Promise<void> {
    return this.closeBecause(new PagewireError("closed", "the database is closed"), options);
  }

  /** @internal */
  closeBecause(reason: PagewireError, options?: Limits): Promise<void> {
    if (this.#closing === undefined) {
      // What is refused here has closed nothing, and may be tried again.
      try {
        checkLimits(options);
        this.checkDeadlock();
      } catch (error) {
        return Promise.reject(error);
      }
      this.#closing = this.#close(options, reason);
    }
    return this.#closing;
  }

  async #close(options: Limits | undefined, reason: PagewireError): Promise<void> {
    if (this.gate.held) {
      // A transaction that does not end in time is not waited for: the close below ends it.
      await this.gate.later(true, options, this.core.defaults.timeout, () => {}).catch(() => {});
    }
    this.#stop(reason);
    const closed = callToClose("close", { handle: this.core.handle }, options);
    this.#release();
    await closed;
  }

  closeSync(options?: Limits): void {
    if (this.core.stop !== undefined) return;
    this.checkSync();
    this.#stop(new PagewireError("closed", "the database is closed"));
    this.#closing = Promise.resolve();
    this.#release();
    callSync("close", { handle: this.core.handle, timeoutMs: options?.timeout });
  }

  #stop(reason: PagewireError): void {
    for (const cursor of this.cursors) cursor.close();
    this.core.stop = reason;
    this.gate.fail(reason);
    this.channel.forget(this);
  }

  #release(): void {
    this.#released = true;
    this.core.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
