// What a database and a transaction have in common: the calls that run SQL, each in its turn.

import type { BatchItem } from "./batch.js";
import { type Core, type Finish, finishAll, finishExec, finishGet, finishRun, kinds, type Sql } from "./core.js";
import { Cursor, iterateSync, RowIterator } from "./cursor.js";
import { PagewireError } from "./errors.js";
import { Gate } from "./gate.js";
import type { Limits } from "./limits.js";
import { type CallOptions, checkSql, type Params, type RunResult } from "./options.js";
import type { Row } from "./rows.js";
import { Statement } from "./statement.js";

/** The calls of a database, and of a transaction on it. */
export abstract class Runner {
  /** @internal */
  readonly gate = new Gate();
  /** @internal The transaction's epoch, 0 for a database: a transaction that was lost refuses to go on. */
  epoch = 0;
  /** @internal Iterations that have not ended. */
  readonly cursors = new Set<Cursor>();
  /** @internal Why calls are refused, beside the reasons of the core. */
  ended: PagewireError | undefined;

  /** @internal */
  constructor(/** @internal */ readonly core: Core) {}

  /** @internal Throws if this is over. */
  check(): void {
    const stop = this.ended ?? this.core.stop;
    if (stop !== undefined) throw new PagewireError(stop.code, stop.message);
  }

  /** @internal Throws if this is over, or if a transaction or a batch is running, for which nothing can wait. */
  checkSync(): void {
    this.check();
    if (this.gate.held) {
      throw new PagewireError(
        "busy",
        "a transaction has this database to itself, and a synchronous call cannot wait for it; make the call on the " +
          "transaction's own object, or use the asynchronous form",
      );
    }
    if (this.core.feeding > 0) {
      throw new PagewireError(
        "busy",
        "a batch whose parameters are being read has this database to itself, and a synchronous call cannot wait for it; " +
          "make the call before the batch, or use the asynchronous form",
      );
    }
  }

  /** @internal Throws if waiting for the running transaction would never end. */
  abstract checkDeadlock(): void;

  /** @internal Runs start now, or in its turn behind a transaction. What it throws rejects. */
  inTurn<T>(limits: Limits | undefined, start: () => Promise<T>): Promise<T> {
    try {
      this.check();
      if (!this.gate.held) return start();
      this.checkDeadlock();
      return this.gate.later(false, limits, this.core.defaults.timeout, start);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @internal */
  call<T>(
    kind: number,
    text: string,
    params: unknown,
    options: CallOptions | undefined,
    finish: Finish<T>,
  ): Promise<T> {
    if (this.gate.held || this.ended !== undefined || this.core.stop !== undefined || typeof text !== "string") {
      return this.inTurn(options, async () => {
        checkSql(text);
        return this.core.run(kind, this.core.cached(text), params, options, this.epoch, finish);
      });
    }
    return this.core.run(kind, this.core.cached(text), params, options, this.epoch, finish);
  }

  /** @internal */
  callSync<T>(kind: number, text: string, params: unknown, options: CallOptions | undefined, finish: Finish<T>): T {
    this.checkSync();
    checkSql(text);
    return this.core.runSync(kind, this.core.cached(text), params, options, this.epoch, finish);
  }

  /** Runs a script: any number of statements, whose rows are dropped. */
  exec(sql: string, options?: Limits): Promise<void> {
    return this.inTurn(options, async () => {
      const script = this.script(sql);
      const done = this.core.run(kinds.exec, script, undefined, options, this.epoch, finishExec);
      this.core.free(script);
      return done;
    });
  }

  execSync(sql: string, options?: Limits): void {
    this.checkSync();
    const script = this.script(sql);
    try {
      this.core.runSync(kinds.exec, script, undefined, options, this.epoch, finishExec);
    } finally {
      this.core.free(script);
    }
  }

  // Scripts are long and run once, so they are not kept.
  private script(sql: string): Sql {
    checkSql(sql);
    return this.core.prepare(sql);
  }

  /** Runs one statement. Its rows, if it has columns, are in `rows`. */
  run<T = Row>(sql: string, params?: Params, options?: CallOptions): Promise<RunResult<T>> {
    return this.call(kinds.run, sql, params, options, finishRun) as Promise<RunResult<T>>;
  }

  runSync<T = Row>(sql: string, params?: Params, options?: CallOptions): RunResult<T> {
    return this.callSync(kinds.run, sql, params, options, finishRun) as RunResult<T>;
  }

  /** The first row of a statement, or undefined if it has none. */
  get<T = Row>(sql: string, params?: Params, options?: CallOptions): Promise<T | undefined> {
    return this.call(kinds.get, sql, params, options, finishGet) as Promise<T | undefined>;
  }

  getSync<T = Row>(sql: string, params?: Params, options?: CallOptions): T | undefined {
    return this.callSync(kinds.get, sql, params, options, finishGet) as T | undefined;
  }

  /** All rows of a statement. */
  all<T = Row>(sql: string, params?: Params, options?: CallOptions): Promise<T[]> {
    return this.call(kinds.all, sql, params, options, finishAll) as Promise<T[]>;
  }

  allSync<T = Row>(sql: string, params?: Params, options?: CallOptions): T[] {
    return this.callSync(kinds.all, sql, params, options, finishAll) as T[];
  }

  /** The rows of a statement one by one, in constant memory. The statement begins with the first row asked for. */
  iterate<T = Row>(sql: string, params?: Params, options?: CallOptions): AsyncIterableIterator<T> {
    return new RowIterator<T>(() => this.cursor(sql, params, options));
  }

  iterateSync<T = Row>(sql: string, params?: Params, options?: CallOptions): Generator<T, void, undefined> {
    return iterateSync<T>(() => this.cursor(sql, params, options));
  }

  /** @internal */
  cursor(sql: string, params: Params | undefined, options: CallOptions | undefined): Cursor {
    this.check();
    checkSql(sql);
    return new Cursor(this, this.core, sql, params, options);
  }

  /** A statement to run many times. It is compiled when it is first run. */
  prepare<T = Row>(sql: string): Statement<T> {
    this.check();
    checkSql(sql);
    return new Statement<T>(this, sql);
  }

  /** Another name of all(). */
  query<T = Row>(sql: string, params?: Params, options?: CallOptions): Promise<T[]> {
    return this.all<T>(sql, params, options);
  }

  querySync<T = Row>(sql: string, params?: Params, options?: CallOptions): T[] {
    return this.allSync<T>(sql, params, options);
  }

  /** Another name of run(). */
  execute<T = Row>(sql: string, params?: Params, options?: CallOptions): Promise<RunResult<T>> {
    return this.run<T>(sql, params, options);
  }

  executeSync<T = Row>(sql: string, params?: Params, options?: CallOptions): RunResult<T> {
    return this.runSync<T>(sql, params, options);
  }

  /** Runs statements as one transaction (in a transaction: as one savepoint): all or none. */
  batch<T = Row>(items: readonly BatchItem[], options?: CallOptions): Promise<RunResult<T>[]> {
    return this.inTurn(options, async () => {
      checkItems(items);
      if (items.length === 0) return [];
      return this.core.batch(items, options, this.epoch) as Promise<RunResult<T>[]>;
    });
  }

  batchSync<T = Row>(items: readonly BatchItem[], options?: CallOptions): RunResult<T>[] {
    this.checkSync();
    checkItems(items);
    if (items.length === 0) return [];
    return this.core.batchSync(items, options, this.epoch) as RunResult<T>[];
  }
}

function checkItems(items: unknown): void {
  if (!Array.isArray(items)) throw new TypeError("batch: not an array of [sql, params]");
}
