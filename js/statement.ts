// Prepared statements.

import { type Finish, finishAll, finishGet, finishRun, kinds, type Sql } from "./core.js";
import { iterateSync, RowIterator } from "./cursor.js";
import { PagewireError } from "./errors.js";
import type { CallOptions, Params, RunResult } from "./options.js";
import type { Row } from "./rows.js";
import type { Runner } from "./runner.js";

/** A statement of a database or a transaction, to be run many times. It needs no closing, but may be closed. */
export class Statement<T = Row> {
  readonly #runner: Runner;
  #sql: Sql | undefined;

  /** @internal */
  constructor(
    runner: Runner,
    readonly sql: string,
  ) {
    this.#runner = runner;
    this.#sql = runner.core.prepare(sql);
  }

  #use(): Sql {
    if (this.#sql === undefined) throw new PagewireError("closed", "the statement is closed", { sql: this.sql });
    return this.#sql;
  }

  #call<R>(kind: number, params: unknown, options: CallOptions | undefined, finish: Finish<R>): Promise<R> {
    const runner = this.#runner;
    const core = runner.core;
    if (runner.gate.held || runner.ended !== undefined || core.stop !== undefined || this.#sql === undefined) {
      return runner.inTurn(options, async () => core.run(kind, this.#use(), params, options, runner.epoch, finish));
    }
    return core.run(kind, this.#sql, params, options, runner.epoch, finish);
  }

  #callSync<R>(kind: number, params: unknown, options: CallOptions | undefined, finish: Finish<R>): R {
    this.#runner.checkSync();
    return this.#runner.core.runSync(kind, this.#use(), params, options, this.#runner.epoch, finish);
  }

  /** Runs it. Its rows, if it has columns, are in `rows`. */
  run(params?: Params, options?: CallOptions): Promise<RunResult<T>> {
    return this.#call(kinds.run, params, options, finishRun) as Promise<RunResult<T>>;
  }

  runSync(params?: Params, options?: CallOptions): RunResult<T> {
    return this.#callSync(kinds.run, params, options, finishRun) as RunResult<T>;
  }

  /** Its first row, or undefined if it has none. */
  get(params?: Params, options?: CallOptions): Promise<T | undefined> {
    return this.#call(kinds.get, params, options, finishGet) as Promise<T | undefined>;
  }

  getSync(params?: Params, options?: CallOptions): T | undefined {
    return this.#callSync(kinds.get, params, options, finishGet) as T | undefined;
  }

  /** All its rows. */
  all(params?: Params, options?: CallOptions): Promise<T[]> {
    return this.#call(kinds.all, params, options, finishAll) as Promise<T[]>;
  }

  allSync(params?: Params, options?: CallOptions): T[] {
    return this.#callSync(kinds.all, params, options, finishAll) as T[];
  }

  /** Its rows one by one, in constant memory. Several iterations may go on at once. */
  iterate(params?: Params, options?: CallOptions): AsyncIterableIterator<T> {
    return new RowIterator<T>(() => this.#runner.cursor(this.#use().text, params, options));
  }

  iterateSync(params?: Params, options?: CallOptions): Generator<T, void, undefined> {
    return iterateSync<T>(() => this.#runner.cursor(this.#use().text, params, options));
  }

  /** Frees what it holds. Calls in flight finish; later ones reject with code "closed". */
  close(): void {
    if (this.#sql === undefined) return;
    this.#runner.core.free(this.#sql);
    this.#sql = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
