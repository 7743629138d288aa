// Iteration in constant memory: a cursor fetches some rows at a time, and hands them out one by one.

import type { Core, Sql } from "./core.js";
import { STEP } from "./native.js";
import type { CallOptions, Mode } from "./options.js";
import type { Result } from "./rows.js";
import type { Runner } from "./runner.js";

const firstRows = 32;
const mostRows = 1000; // the engine ends a chunk at 256 KiB of text and blobs anyway

interface Chunk {
  rows: unknown[];
  more: boolean;
}

const finishChunk = (result: Result, sql: Sql, mode: Mode): Chunk => ({
  more: result.more,
  rows: result.rows(sql.shapes, mode),
});

/** A statement of its own, run some rows at a time. */
export class Cursor {
  #params: unknown;
  #sql: Sql | undefined;
  #ask = firstRows;
  #more = true;

  constructor(
    private readonly runner: Runner,
    private readonly core: Core,
    text: string,
    params: unknown,
    private readonly options: CallOptions | undefined,
  ) {
    this.#params = params;
    this.#sql = core.prepare(text);
    runner.cursors.add(this);
  }

  /** Are there rows left to fetch? */
  get more(): boolean {
    return this.#more;
  }

  #begin(): [Sql, unknown, number] {
    this.runner.check();
    const args: [Sql, unknown, number] = [this.#sql!, this.#params, this.#ask];
    this.#params = undefined;
    this.#ask = Math.min(this.#ask * 4, mostRows);
    return args;
  }

  async fetch(): Promise<unknown[]> {
    return this.runner.inTurn(this.options, async () => {
      const [sql, params, ask] = this.#begin();
      return this.#end(await this.core.run(STEP, sql, params, this.options, this.runner.epoch, finishChunk, ask));
    });
  }

  fetchSync(): unknown[] {
    this.runner.checkSync();
    const [sql, params, ask] = this.#begin();
    return this.#end(this.core.runSync(STEP, sql, params, this.options, this.runner.epoch, finishChunk, ask));
  }

  #end(chunk: Chunk): unknown[] {
    this.#more = chunk.more;
    return chunk.rows;
  }

  /** Ends the statement, wherever it stands. */
  close(): void {
    if (this.#sql === undefined) return;
    if (this.#more) this.core.resetCursor(this.#sql);
    this.core.free(this.#sql);
    this.#sql = undefined;
    this.#more = false;
    this.runner.cursors.delete(this);
  }
}

/** The rows of a statement as an async iterator. Ending early (break, return, throw) ends the statement. */
export class RowIterator<T> implements AsyncIterableIterator<T> {
  #cursor: Cursor | undefined;
  #rows: unknown[] = [];
  #at = 0;
  #loading: Promise<void> | undefined;
  #done = false;

  constructor(private readonly open: () => Cursor) {}

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#loading !== undefined) return this.#loading.then(() => this.next());
    if (this.#at < this.#rows.length) return Promise.resolve({ value: this.#rows[this.#at++] as T, done: false });
    if (this.#done) return Promise.resolve({ value: undefined, done: true });
    const loading = this.#load().finally(() => {
      this.#loading = undefined;
    });
    this.#loading = loading;
    return loading.then(() => this.next());
  }

  async #load(): Promise<void> {
    try {
      this.#cursor ??= this.open();
      this.#rows = await this.#cursor.fetch();
      this.#at = 0;
      if (!this.#cursor.more) this.#finish();
    } catch (error) {
      this.#finish();
      throw error;
    }
  }

  #finish(): void {
    this.#done = true;
    this.#cursor?.close();
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    await this.#loading?.catch(() => {}); // whoever called next() is told
    this.#rows = [];
    this.#finish();
    return { value: undefined, done: true };
  }

  async throw(error: unknown): Promise<never> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** The same, while this thread waits for each chunk. */
export function* iterateSync<T>(open: () => Cursor): Generator<T, void, undefined> {
  const cursor = open();
  try {
    while (cursor.more) yield* cursor.fetchSync() as T[];
  } finally {
    cursor.close();
  }
}
