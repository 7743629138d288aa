// Batches: packed for the bridge, each piece into a buffer and a string, and their results unpacked.

import type { Handle, Packed, Piece } from "./native.js";
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

/** Characters of a piece that are packed: what comes then would be copied once more for little. */
const mostText = 1024 * 1024;
/** Doubles of a buffer that is kept for the next batch. */
const mostKept = 64 * 1024;

/** Items of a piece of a batch: what SQLite does with them takes longer than to wake the thread that does it. */
export const pieceItems = 128;
/** Characters of their parameters after which a piece ends all the same. */
const pieceText = 64 * 1024;

/** A statement of a database. */
interface Known {
  readonly text: string;
  readonly handle: Handle;
  readonly shapes: Shapes;
}

/** Who knows a database's statements. */
interface Statements {
  readonly defaults: { readonly cachedStatements: number };
  cached(text: string): Known;
  prepare(text: string): Known;
  free(statement: Known): void;
}

/** Packs the items of a piece of a batch. */
class Packer {
  #f64 = new Float64Array(4096);
  #i64 = new BigInt64Array(this.#f64.buffer);
  #at = 0;
  #numbers = new Map<Known, number>();
  #handles: Handle[] = [];
  #last: Known | undefined;
  #number = 0;
  items = 0;
  /** Packed values, of all items. */
  #values = 0;
  /** The texts among them. */
  text = "";
  /** Parameters of items that could not be packed. */
  #others: unknown[] = [];

  /** What the bridge takes. */
  get piece(): Piece {
    const buffer = this.#f64.buffer as ArrayBuffer;
    return [this.#handles, buffer, this.items, this.#values, this.text, this.#others];
  }

  /** Adds a run of a statement. */
  add(statement: Known, params: unknown): void {
    this.#reserve(itemDoubles);
    const at = this.#at;
    this.#at += itemDoubles;
    this.#f64[at] = statement === this.#last ? this.#number : this.#numberOf(statement);
    this.#f64[at + 1] = statement.shapes.latest;
    const n = params === undefined ? 0 : Array.isArray(params) ? this.#pack(params) : UNPACKED;
    this.#f64[at + 2] = n;
    this.items++;
    if (n === UNPACKED) {
      checkParams(params);
      this.#others.push(params);
    } else {
      this.#values += n;
      this.#at += n * valueDoubles;
    }
  }

  // The statement's number in the piece.
  #numberOf(statement: Known): number {
    let number = this.#numbers.get(statement);
    if (number === undefined) {
      number = this.#handles.push(statement.handle) - 1;
      this.#numbers.set(statement, number);
    }
    this.#last = statement;
    this.#number = number;
    return number;
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

  /** Forgets the piece; is it worth keeping for another? */
  clear(): boolean {
    this.#at = this.items = this.#values = 0;
    this.text = "";
    this.#others = [];
    this.#handles = [];
    this.#numbers.clear();
    this.#last = undefined;
    return this.#f64.length <= mostKept;
  }
}

// Reading parameters may run a caller's code (getters), which may run a batch: that one gets a packer of its own.
let spare: Packer | undefined;

/** Has fn use a packer. */
function packing(fn: (packer: Packer) => void): void {
  const packer = spare ?? new Packer();
  spare = undefined;
  try {
    fn(packer);
  } finally {
    if (packer.clear()) spare = packer;
  }
}

/** The text of an item of a batch, whose number is i. */
function textOf(item: BatchItem, i: number): string {
  const sql: unknown = Array.isArray(item) ? item[0] : item;
  if (typeof sql !== "string") throw new TypeError(`batch: item ${i + 1} is neither SQL text nor [sql, params]`);
  return sql;
}

/**
 * May the items come while the first run? Not if there are named parameters: to read them may run a caller's code, which
 * must not find the database busy with a batch that waits for that code.
 */
export function comesInPieces(items: readonly BatchItem[]): boolean {
  const named = (item: unknown) => Array.isArray(item) && item[1] !== undefined && !Array.isArray(item[1]);
  return items.length > pieceItems && !items.some(named);
}

/**
 * Packs items and sends them, `most` at a time; `shapes` become those of all. A batch may hold more texts than the cache: the
 * rest get statements of their own, freed once sent.
 */
export function pack(
  statements: Statements,
  items: readonly BatchItem[],
  most: number,
  shapes: Shapes[],
  send: (first: number, piece: Piece) => void,
): void {
  const n = items.length;
  const enough = n > most ? pieceText : Number.POSITIVE_INFINITY;
  const known = new Map<string, Known>();
  const own: Known[] = [];
  const statementOf = (text: string) => {
    let statement = known.get(text);
    if (statement === undefined) {
      const cached = known.size < statements.defaults.cachedStatements;
      statement = cached ? statements.cached(text) : statements.prepare(text);
      if (!cached) own.push(statement);
      known.set(text, statement);
    }
    return statement;
  };
  packing((packer) => {
    try {
      let statement: Known | undefined;
      for (let i = 0, first = 0; i < n; i++) {
        const item = items[i]!;
        const text = textOf(item, i);
        if (statement?.text !== text) statement = statementOf(text);
        packer.add(statement, typeof item === "string" ? undefined : item[1]);
        shapes.push(statement.shapes);
        if (packer.items < most && packer.text.length < enough && i < n - 1) continue;
        send(first, packer.piece);
        packer.clear();
        first = i + 1;
      }
    } finally {
      for (const statement of own) statements.free(statement);
    }
  });
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
