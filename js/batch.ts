// Batches: packed into one buffer and one string for the bridge, and their results unpacked.

import type { Packed } from "./native.js";
import type { Mode, Params, RunResult } from "./options.js";
import { badParameter, checkParams } from "./parameters.js";
import { Result, type Shapes } from "./rows.js";

/** One statement of a batch: its text and, if it has any, its parameters. */
export type BatchItem = string | readonly [sql: string] | readonly [sql: string, params: Params | undefined];

// The layout that napi/batch.c reads, in doubles.
const itemDoubles = 3;
const valueDoubles = 2;
const UNPACKED = -1;
const NULL = 0;
const INT = 1;
const REAL = 2;
const TEXT = 3;

/** Characters of a batch that are packed: what comes then would be copied once more for little. */
const mostText = 1024 * 1024;
/** Doubles of a buffer that is kept for the next batch. */
const mostKept = 64 * 1024;

/** Packs the items of one batch. */
class Packer {
  #f64 = new Float64Array(4096);
  #i64 = new BigInt64Array(this.#f64.buffer);
  #at = 0;
  items = 0;
  /** Packed values, of all items. */
  values = 0;
  /** The texts among them. */
  text = "";
  /** Parameters of items that could not be packed. */
  others: unknown[] = [];

  get buffer(): ArrayBuffer {
    return this.#f64.buffer as ArrayBuffer;
  }

  /** Adds a run of a statement, given by its number in the batch and the shape of its rows that is known. */
  add(statement: number, shape: number, params: unknown): void {
    this.#reserve(itemDoubles);
    const at = this.#at;
    this.#at += itemDoubles;
    this.#f64[at] = statement;
    this.#f64[at + 1] = shape;
    const n = params === undefined ? 0 : Array.isArray(params) ? this.#pack(params) : UNPACKED;
    this.#f64[at + 2] = n;
    this.items++;
    if (n === UNPACKED) {
      checkParams(params);
      this.others.push(params);
    } else {
      this.values += n;
      this.#at += n * valueDoubles;
    }
  }

  // Packs values behind what there is. Blobs, and what cannot be bound at all, are left to the bridge.
  #pack(params: readonly unknown[]): number {
    const n = params.length;
    this.#reserve(n * valueDoubles);
    let text = this.text;
    for (let i = 0, at = this.#at; i < n; i++, at += valueDoubles) {
      const value = params[i];
      let type = REAL;
      if (typeof value === "string") {
        if (value.length + text.length > mostText) return UNPACKED;
        if (!value.isWellFormed()) badParameter(i + 1, value, "surrogate");
        type = TEXT;
        text += value;
        this.#f64[at + 1] = value.length;
      } else if (typeof value === "number") {
        if (Number.isNaN(value)) badParameter(i + 1, value, "nan");
        this.#f64[at + 1] = value;
      } else if (value === null) {
        type = NULL;
      } else if (typeof value === "boolean") {
        this.#f64[at + 1] = value ? 1 : 0;
      } else if (typeof value === "bigint") {
        if (BigInt.asIntN(64, value) !== value) badParameter(i + 1, value, "range");
        type = INT;
        this.#i64[at + 1] = value;
      } else {
        return UNPACKED;
      }
      this.#f64[at] = type;
    }
    this.text = text;
    return n;
  }

  #reserve(doubles: number): void {
    if (this.#at + doubles <= this.#f64.length) return;
    const grown = new Float64Array(2 ** Math.ceil(Math.log2(this.#at + doubles)));
    grown.set(this.#f64.subarray(0, this.#at));
    this.#f64 = grown;
    this.#i64 = new BigInt64Array(grown.buffer);
  }

  /** Forgets the batch; is it worth keeping for another? */
  clear(): boolean {
    this.#at = this.items = this.values = 0;
    this.text = "";
    this.others = [];
    return this.#f64.length <= mostKept;
  }
}

// Reading parameters may run a caller's code (getters), which may run a batch: that one gets a packer of its own.
let spare: Packer | undefined;

/** Has fn use a packer. */
export function packing<T>(fn: (packer: Packer) => T): T {
  const packer = spare ?? new Packer();
  spare = undefined;
  try {
    return fn(packer);
  } finally {
    if (packer.clear()) spare = packer;
  }
}

/** The text of an item of a batch, whose number is i. */
export function textOf(item: BatchItem, i: number): string {
  const sql: unknown = Array.isArray(item) ? item[0] : item;
  if (typeof sql !== "string") throw new TypeError(`batch: item ${i + 1} is neither SQL text nor [sql, params]`);
  return sql;
}

/** The results of a batch, whose statements have these shapes. */
export function batchResults(packed: Packed, shapes: readonly Shapes[], mode: Mode): RunResult[] {
  const results: RunResult[] = new Array(shapes.length);
  const result = Result.batch(packed as unknown[]);
  let next = 1;
  for (let k = 0; k < shapes.length; k++) {
    const { changes, lastInsertRowid } = result;
    if (result.ncol === 0) {
      results[k] = { changes, lastInsertRowid };
    } else {
      result.take(packed[next++] as Packed, shapes[k]!);
      results[k] = { changes, lastInsertRowid, rows: result.rows(shapes[k]!, mode) };
    }
    result.skip();
  }
  return results;
}
