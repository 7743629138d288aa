// One open database as the bridge knows it: its statements, and operations on their way through it.
// Who may go when (transactions) is the business of runner.ts.

import { type BatchItem, batchResults, comesInPieces, pack, pieceItems } from "./batch.js";
import { abortError, PagewireError } from "./errors.js";
import { bridgeError, type Failure, operationError } from "./failures.js";
import { timeoutOf } from "./limits.js";
import {
  ALL,
  EXEC,
  GET,
  type Handle,
  type Job,
  keep,
  LIMITS,
  mostValues,
  native,
  type Packed,
  RUN,
  SHAPE,
  VALUES,
  WAIT,
} from "./native.js";
import { type CallOptions, type Integers, type Mode, modeOf, type RowMode, type RunResult } from "./options.js";
import { checkParams } from "./parameters.js";
import { notAtOnce, type Point, readAtOnce } from "./point.js";
import { failed, Result, Shapes } from "./rows.js";

/** A statement: its text, the engine's handle, and the shapes of its rows. */
export class Sql {
  readonly shapes = new Shapes();
  point: Point | undefined;
  /** As operations, since a point was looked for. */
  reads = 0;
  constructor(
    readonly text: string,
    readonly handle: Handle,
  ) {}
}

/** Turns a finished, successful result into what the caller gets. */
export type Finish<T> = (result: Result, sql: Sql, mode: Mode) => T;

export const finishExec: Finish<void> = () => {};
export const finishAll: Finish<unknown[]> = (result, sql, mode) => result.rows(sql.shapes, mode);
export const finishGet: Finish<unknown> = (result, sql, mode) => result.rows(sql.shapes, mode)[0];
export const finishEpoch: Finish<number> = (result) => result.epoch;
export const finishRun = (result: Result, sql: Sql, mode: Mode) => {
  const { changes, lastInsertRowid } = result;
  return result.ncol === 0
    ? { changes, lastInsertRowid }
    : { changes, lastInsertRowid, rows: result.rows(sql.shapes, mode) };
};

/** The kind of operation that each of them belongs to. */
export const kinds = { exec: EXEC, run: RUN, get: GET, all: ALL } as const;

/** Defaults of a database's calls. */
export interface Defaults {
  integers: Integers;
  rowMode: RowMode;
  timeout: number;
  cachedStatements: number;
}

// What runs on the calling thread is done when the call returns, and a program that awaits one such call after the other
// would never come back to its event loop. So now and then a call waits for the loop to turn.
const turnMs = 4;
let sinceLook = 0;
let lastTurn = 0;

function dueTurn(): boolean {
  sinceLook = (sinceLook + 1) & 7;
  return sinceLook === 0 && performance.now() - lastTurn > turnMs;
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => {
      lastTurn = performance.now();
      resolve();
    });
  });
}

/** A promise of what is there already. */
function settled<T>(value: T): Promise<T> {
  return dueTurn() ? turn().then(() => value) : Promise.resolve(value);
}

/** An operation that a worker runs, and what becomes of its result. */
class Pending<T> implements Job {
  constructor(
    private readonly read: (packed: Packed) => T,
    private readonly sql: string | undefined,
    private readonly signal: AbortSignal | undefined,
    private readonly onAbort: (() => void) | undefined,
    private readonly timer: NodeJS.Timeout | undefined,
    private readonly resolve: (value: T) => void,
    private readonly reject: (error: unknown) => void,
  ) {}

  done(packed: Packed | undefined): void {
    if (this.onAbort) this.signal!.removeEventListener("abort", this.onAbort);
    if (this.timer) clearTimeout(this.timer);
    try {
      if (packed === undefined) throw new PagewireError("closed", "the environment is ending");
      if (failed()) throw operationError(packed as unknown as Failure, this.sql, this.signal);
      this.resolve(this.read(packed));
    } catch (error) {
      this.reject(error);
    }
  }
}

/** An open database. */
export class Core {
  /** Why nothing can be run any more. */
  stop: PagewireError | undefined;
  /** Batches that are packed and which the engine has begun with. */
  feeding = 0;
  readonly mode: Mode;
  readonly #db: Handle;
  readonly #cache = new Map<string, Sql>();
  #recent: Sql | undefined;
  readonly #bridge = native();

  constructor(
    db: Handle,
    readonly handle: number,
    readonly defaults: Defaults,
  ) {
    this.#db = db;
    this.mode = modeOf(defaults.integers, defaults.rowMode);
  }

  /** A statement of its own, to be given back with free(). */
  prepare(text: string): Sql {
    return new Sql(text, this.#bridge.stmtNew(this.#db, text));
  }

  free(sql: Sql): void {
    sql.point = undefined; // its number will be another's
    this.#bridge.stmtFree(sql.handle);
  }

  /** The cached statement for a text: the least recently used one makes room. */
  cached(text: string): Sql {
    if (this.#recent?.text === text) return this.#recent;
    const cache = this.#cache;
    let sql = cache.get(text);
    if (sql === undefined) sql = this.prepare(text);
    else cache.delete(text);
    cache.set(text, sql);
    this.#recent = sql;
    if (cache.size > this.defaults.cachedStatements) {
      const [oldest, dropped] = cache.entries().next().value!;
      cache.delete(oldest);
      this.free(dropped);
    }
    return sql;
  }

  /** The mode that a call's options ask for. */
  modeFor(options: CallOptions | undefined): Mode {
    if (options === undefined || (options.integers === undefined && options.rowMode === undefined)) return this.mode;
    return modeOf(options.integers ?? this.defaults.integers, options.rowMode ?? this.defaults.rowMode);
  }

  /** Runs one statement; what goes wrong rejects. `epoch` is the transaction's, or 0. */
  run<T>(
    kind: number,
    sql: Sql,
    params: unknown,
    options: CallOptions | undefined,
    epoch: number,
    finish: Finish<T>,
    maxRows = 0,
  ): Promise<T> {
    let mode = this.mode;
    let timeout = this.defaults.timeout;
    let signal: AbortSignal | undefined;
    try {
      if (options !== undefined) {
        mode = this.modeFor(options);
        timeout = timeoutOf(options.timeout, timeout);
        signal = options.signal;
        if (signal?.aborted) throw abortError(signal);
      } else if (kind === GET && epoch === 0) {
        const row = readAtOnce(sql, params, mode);
        if (row !== notAtOnce) return settled(row as T);
      }
      const packed = this.#send(kind, sql, params, epoch, timeout, maxRows);
      if (typeof packed === "number") {
        return this.#pend(
          packed,
          (value) => finish(Result.single(value, sql.shapes), sql, mode),
          sql.text,
          signal,
          timeout,
        );
      }
      if (failed()) throw operationError(packed as unknown as Failure, sql.text, signal);
      return settled(finish(Result.single(packed, sql.shapes), sql, mode));
    } catch (error) {
      const cause = bridgeError(error);
      return dueTurn() ? turn().then(() => Promise.reject(cause)) : Promise.reject(cause);
    }
  }

  /** Hands a statement to the bridge, the values of its parameters one by one if they are few. */
  #send(what: number, sql: Sql, params: unknown, epoch: number, timeout: number, maxRows: number): Packed | number {
    const { handle } = sql;
    const limited = epoch !== 0 || timeout !== 0 || maxRows !== 0;
    what += sql.shapes.latest * SHAPE;
    if (Array.isArray(params) && params.length <= mostValues) {
      if (limited) return this.#bridge.run(handle, what + VALUES + LIMITS, epoch, timeout, maxRows, ...params);
      if (params.length === 1) return this.#bridge.run(handle, what + VALUES, params[0]);
      return this.#bridge.run(handle, what + VALUES, ...params);
    }
    checkParams(params);
    if (limited) return this.#bridge.run(handle, what + LIMITS, epoch, timeout, maxRows, params);
    return this.#bridge.run(handle, what, params);
  }

  /** The same, while this thread waits. */
  runSync<T>(
    kind: number,
    sql: Sql,
    params: unknown,
    options: CallOptions | undefined,
    epoch: number,
    finish: Finish<T>,
    maxRows = 0,
  ): T {
    const mode = this.modeFor(options);
    const timeout = timeoutOf(options?.timeout, this.defaults.timeout);
    if (options?.signal?.aborted) throw abortError(options.signal);
    let packed: Packed;
    try {
      if (options === undefined && kind === GET && epoch === 0) {
        const row = readAtOnce(sql, params, mode);
        if (row !== notAtOnce) return row as T;
      }
      packed = this.#send(kind + WAIT, sql, params, epoch, timeout, maxRows) as Packed;
    } catch (error) {
      throw bridgeError(error);
    }
    if (failed()) throw operationError(packed as unknown as Failure, sql.text);
    return finish(Result.single(packed, sql.shapes), sql, mode);
  }

  /** Runs statements as one transaction; results in their order. */
  batch(items: readonly BatchItem[], options: CallOptions | undefined, epoch: number): Promise<RunResult[]> {
    try {
      const signal = options?.signal;
      if (signal?.aborted) throw abortError(signal);
      const mode = this.modeFor(options);
      const timeout = timeoutOf(options?.timeout, this.defaults.timeout);
      const shapes: Shapes[] = [];
      const packed = this.#feed(items, shapes, epoch, timeout);
      const read = (value: Packed) => batchResults(value, shapes, mode);
      if (typeof packed === "number") return this.#pend(packed, read, undefined, signal, timeout);
      if (failed()) throw operationError(packed as unknown as Failure, undefined, signal);
      return Promise.resolve(read(packed));
    } catch (error) {
      return Promise.reject(bridgeError(error));
    }
  }

  // Hands a batch to the bridge, a long one in pieces, and the engine begins with the first.
  #feed(items: readonly BatchItem[], shapes: Shapes[], epoch: number, timeout: number): Packed | number {
    const n = items.length;
    let packed: Packed | number | undefined;
    try {
      pack(this, items, comesInPieces(items) ? pieceItems : n, shapes, (first, piece) => {
        if (typeof packed === "number") {
          this.#bridge.batchMore(packed, first, ...piece);
        } else if (packed === undefined) {
          packed = this.#bridge.batch(this.#db, n, ...piece, epoch, timeout);
          if (typeof packed === "number") this.feeding++;
        }
      });
      return packed!;
    } catch (error) {
      if (typeof packed === "number") {
        keep(packed, {}); // nobody asks for its result
        this.#bridge.batchNoMore(packed);
      }
      throw error;
    } finally {
      if (typeof packed === "number") this.feeding--;
    }
  }

  batchSync(items: readonly BatchItem[], options: CallOptions | undefined, epoch: number): RunResult[] {
    const mode = this.modeFor(options);
    const timeout = timeoutOf(options?.timeout, this.defaults.timeout);
    if (options?.signal?.aborted) throw abortError(options.signal);
    const n = items.length;
    const shapes: Shapes[] = [];
    let packed: Packed;
    try {
      pack(this, items, n, shapes, (_first, piece) => {
        packed = this.#bridge.batchSync(this.#db, n, ...piece, epoch, timeout);
      });
    } catch (error) {
      throw bridgeError(error);
    }
    if (failed()) throw operationError(packed! as unknown as Failure, undefined);
    return batchResults(packed!, shapes, mode);
  }

  /** Ends a cursor early, in its turn. */
  resetCursor(sql: Sql): void {
    this.#bridge.cursorReset(sql.handle);
  }

  /** Counters as pw_metrics lays them out. */
  metrics(): number[] {
    return this.#bridge.dbMetrics(this.#db);
  }

  /** Gives back what the bridge holds. Nothing may be run from here on. */
  release(): void {
    for (const sql of this.#cache.values()) this.free(sql);
    this.#cache.clear();
    this.#recent = undefined;
    this.#bridge.dbUnref(this.#db);
  }

  #pend<T>(
    token: number,
    read: (packed: Packed) => T,
    sql: string | undefined,
    signal: AbortSignal | undefined,
    timeout: number,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const onAbort = signal && (() => this.#bridge.cancel(token, "aborted"));
      if (onAbort) signal.addEventListener("abort", onAbort, { once: true });
      // The engine counts from where a statement begins to run; the caller also waits in the queue and for the commit.
      const timer = timeout > 0 ? setTimeout(() => this.#bridge.cancel(token, "timeout"), timeout) : undefined;
      keep(token, new Pending(read, sql, signal, onAbort, timer, resolve, reject));
    });
  }
}
