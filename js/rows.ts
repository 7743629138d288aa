// Packed results become JavaScript values: numbers and tags are read from a buffer, text is cut from
// one string or a few, blobs from one buffer. For each shape of rows (its column names) and each way to
// deliver them a decoder is compiled, so that objects get a fixed layout; where code generation from
// strings is disallowed, a plain loop does the same.

import { PagewireError } from "./errors.js";
import { type Packed, scratch } from "./native.js";
import { type Mode, modes } from "./options.js";
import { Cut, type Texts } from "./texts.js";

/** A value out of the database. */
export type Cell = null | number | bigint | string | Uint8Array;
/** A row as `rowMode: "object"` (the default) delivers it. */
export type Row = Record<string, Cell>;

// The layout that napi/result.c writes, in doubles.
const HEAD = 9;
const AUTOCOMMIT = 1;
const MORE = 2;

const NULL = 0;
const INT = 1;
const REAL = 2;
const TEXT = 3;
const BLOB = 4;

export const noBlob = new Uint8Array(0);
export const scratch64 = new Float64Array(scratch);
const scratchBig = new BigInt64Array(scratch);
const scratch8 = new Uint8Array(scratch);

/** Reads cells from f64[i] on (i64 is the same memory), their tags from u8[t] on, text and blobs from their beginning. */
interface Decoder {
  /** Reads the only row, which stands in the scratch buffer from its beginning. */
  one(text: string, blob: Uint8Array): unknown;
  /** Reads n rows, from i and t on. */
  all(
    f64: Float64Array,
    i64: BigInt64Array,
    u8: Uint8Array,
    i: number,
    t: number,
    texts: Texts,
    blob: Uint8Array,
    n: number,
  ): unknown[];
}

/** The column names of a result, and their decoders by mode. */
export class Shape {
  readonly decoders: (Decoder | undefined)[] = new Array(modes);
  constructor(readonly names: readonly string[]) {}

  decoder(mode: Mode): Decoder {
    let decoder = this.decoders[mode];
    if (decoder === undefined) {
      decoder = canCompile() ? compile(this.names, mode) : interpret(this.names, mode);
      this.decoders[mode] = decoder;
    }
    return decoder;
  }
}

/** What becomes of an integer beyond 2^53 - 1 in mode "number". */
function unsafe(name: string, value: bigint): never {
  throw new PagewireError(
    "integer_out_of_range",
    `column ${JSON.stringify(name)} holds ${value}, which a number cannot hold exactly; use integers: "mixed" or "bigint"`,
  );
}

let compiles: boolean | undefined;
function canCompile(): boolean {
  if (compiles === undefined) {
    try {
      new Function("");
      compiles = true;
    } catch {
      compiles = false;
    }
  }
  return compiles;
}

function compile(names: readonly string[], mode: Mode): Decoder {
  const integers = mode % 3;
  const cells = (ofText: (c: number) => string) =>
    names
      .map((name, c) => {
        const key = JSON.stringify(name);
        const int = integers === 2 ? `BigInt(f64[i + ${c}])` : `f64[i + ${c}]`;
        const big = integers === 1 ? `unsafe(${key}, i64[i + ${c}])` : `i64[i + ${c}]`;
        return `switch (u8[t + ${c}]) {
      case ${INT}: v${c} = ${int}; break;
      case ${REAL}: v${c} = f64[i + ${c}]; break;
      case ${TEXT}: ${ofText(c)} break;
      case ${BLOB}: v${c} = blob.slice(b, b += f64[i + ${c}]); break;
      case ${NULL}: v${c} = null; break;
      default: v${c} = ${big};
    }`;
      })
      .join("\n");
  // A computed key makes an own property even of "__proto__".
  const fields = names.map((name, c) =>
    name === "__proto__" ? `["__proto__"]: v${c}` : `${JSON.stringify(name)}: v${c}`,
  );
  const row = mode >= 3 ? `[${names.map((_, c) => `v${c}`).join(", ")}]` : `{${fields.join(", ")}}`;
  const vars = names.map((_, c) => `, v${c}`).join("");
  const whole = (c: number) => `v${c} = text.substring(p, p += f64[i + ${c}]);`;
  const piecewise = (c: number) => `e = p + f64[i + ${c}];
        if (e <= text.length) { v${c} = text.substring(p, e); p = e; }
        else { v${c} = cut.across(p, e); text = cut.text; p = cut.p; }`;
  // What is the same in all calls of a function is best outside of it.
  const source = `"use strict";
  const i = 0, t = ${names.length * 8};
  return {
    one(text, blob) {
      let p = 0, b = 0${vars};
      ${cells(whole)}
      return ${row};
    },
    all(f64, i64, u8, i, t, texts, blob, n) {
      const rows = new Array(n), cut = new Cut(texts);
      let text = cut.text, p = 0, e = 0, b = 0${vars};
      for (let r = 0; r < n; r++) {
        ${cells(piecewise)}
        i += ${names.length};
        t += ${names.length};
        rows[r] = ${row};
      }
      return rows;
    },
  };`;
  const make = new Function("unsafe", "Cut", "f64", "i64", "u8", source);
  return make(unsafe, Cut, scratch64, scratchBig, scratch8) as Decoder;
}

function interpret(names: readonly string[], mode: Mode): Decoder {
  const integers = mode % 3;
  const asArray = mode >= 3;
  const ncol = names.length;
  const all: Decoder["all"] = (f64, i64, u8, i, t, texts, blob, n) => {
    const rows: unknown[] = new Array(n);
    const cut = new Cut(texts);
    let b = 0;
    for (let r = 0; r < n; r++) {
      const row: Cell[] = new Array(ncol);
      for (let c = 0; c < ncol; c++, i++, t++) {
        const number = f64[i]!;
        switch (u8[t]) {
          case NULL:
            row[c] = null;
            break;
          case INT:
            row[c] = integers === 2 ? BigInt(number) : number;
            break;
          case REAL:
            row[c] = number;
            break;
          case TEXT:
            row[c] = cut.take(number);
            break;
          case BLOB:
            row[c] = blob.slice(b, b + number);
            b += number;
            break;
          default:
            row[c] = integers === 1 ? unsafe(names[c]!, i64[i]!) : i64[i]!;
        }
      }
      rows[r] = asArray ? row : toObject(names, row);
    }
    return rows;
  };
  return { all, one: (text, blob) => all(scratch64, scratchBig, scratch8, 0, ncol * 8, text, blob, 1)[0] };
}

function toObject(names: readonly string[], row: Cell[]): Row {
  const object: Row = {};
  for (let c = 0; c < names.length; c++) {
    const name = names[c]!;
    if (name !== "__proto__") object[name] = row[c]!;
    else Object.defineProperty(object, name, { value: row[c], enumerable: true, writable: true, configurable: true });
  }
  return object;
}

// Statements with the same columns share a shape, and so its decoders: those of a thousand databases get fast together.
const shared = new Map<string, Shape>();
const mostShared = 1024;

function shapeOf(names: string, ncol: number): Shape {
  let shape = shared.get(names);
  if (shape === undefined) {
    shape = new Shape(names.split("\0").slice(0, ncol));
    if (shared.size === mostShared) shared.delete(shared.keys().next().value!);
    shared.set(names, shape);
  }
  return shape;
}

// Shapes that a statement keeps: operations sent while the schema changes may come back out of step.
const shapesKept = 8;

/** What is known of the results of one statement. */
export class Shapes {
  /** The number of the newest shape, which the engine is told, so that it need not repeat the names. */
  latest = 0;
  #shape: Shape | undefined;
  readonly #older = new Map<number, Shape>();

  learn(number: number, names: string, ncol: number): void {
    if (number === this.latest) return; // as the items of a batch tell it, each anew
    const shape = shapeOf(names, ncol);
    this.#older.set(number, shape);
    if (this.#older.size > shapesKept) this.#older.delete(this.#older.keys().next().value!);
    this.latest = number;
    this.#shape = shape;
  }

  find(number: number): Shape {
    const shape = number === this.latest ? this.#shape : this.#older.get(number);
    if (shape === undefined)
      throw new PagewireError("internal_error", `the engine sent rows of an unknown shape (${number})`);
    return shape;
  }
}

/** The result of one statement, before its rows are decoded. One object is reused: read it at once. */
export class Result {
  f64: Float64Array = scratch64;
  i64: BigInt64Array = scratchBig;
  u8: Uint8Array = scratch8;
  /** Where the result begins, in doubles. */
  base = 0;
  texts: Texts = "";
  blob: Uint8Array = noBlob;

  get nrow(): number {
    return this.f64[this.base + 1]!;
  }
  get ncol(): number {
    return this.f64[this.base + 2]!;
  }
  get changes(): number {
    return this.f64[this.base + 4]!;
  }
  get lastInsertRowid(): number | bigint {
    const rowid = this.f64[this.base + 5]!;
    return Number.isSafeInteger(rowid) ? rowid : this.i64[this.base + 6]!;
  }
  get autocommit(): boolean {
    return (this.f64[this.base + 7]! & AUTOCOMMIT) !== 0;
  }
  get more(): boolean {
    return (this.f64[this.base + 7]! & MORE) !== 0;
  }
  get epoch(): number {
    return this.f64[this.base + 8]!;
  }

  /** All rows, decoded. */
  rows(shapes: Shapes, mode: Mode): unknown[] {
    const n = this.nrow;
    if (n === 0) return [];
    const i = this.base + HEAD;
    const t = (i + n * this.ncol) * 8;
    const shape = shapes.find(this.f64[this.base + 3]!);
    return shape.decoder(mode).all(this.f64, this.i64, this.u8, i, t, this.texts, this.blob, n);
  }

  /** Goes on to the item behind this one in the same buffer. */
  skip(): void {
    const cells = this.nrow * this.ncol;
    this.base += HEAD + cells + Math.ceil(cells / 8);
  }

  /** Takes what came beside the numbers: text, blobs, and the names of columns if they are new. */
  take(value: Packed, shapes: Shapes): void {
    if (typeof value === "string") {
      this.texts = value;
      this.blob = noBlob;
      return;
    }
    this.texts = value[0] as Texts;
    this.blob = value[2] === undefined ? noBlob : new Uint8Array(value[2] as ArrayBuffer);
    if (value[1] !== undefined) shapes.learn(this.f64[this.base + 3]!, value[1] as string, this.ncol);
  }

  // The bridge reuses its buffer for large results, so the last views are kept, if they do not hold much.
  private view(buffer: ArrayBuffer): void {
    let views = large;
    if (views.f64.buffer !== buffer) {
      views = { f64: new Float64Array(buffer), i64: new BigInt64Array(buffer), u8: new Uint8Array(buffer) };
      if (buffer.byteLength <= largeKept) large = views;
    }
    this.f64 = views.f64;
    this.i64 = views.i64;
    this.u8 = views.u8;
  }

  /** Reads the result of a single statement. */
  static single(packed: Packed, shapes: Shapes): Result {
    if (typeof packed === "string") {
      small.texts = packed;
      small.blob = noBlob;
      return small;
    }
    const result = packed[3] === undefined ? small : new Result();
    if (packed[3] !== undefined) result.view(packed[3] as ArrayBuffer);
    result.take(packed, shapes);
    return result;
  }

  /** Stands on the first result of a batch. */
  static batch(packed: unknown[]): Result {
    const result = new Result();
    result.view(packed[0] as ArrayBuffer);
    return result;
  }
}

const small = new Result();
let large = { f64: scratch64, i64: scratchBig, u8: scratch8 };
const largeKept = 4 * 1024 * 1024; // LARGE_KEEP of napi/result.c

/** Did the operation whose result was delivered last fail? Then it is a Failure. */
export function failed(): boolean {
  return scratch64[0] !== 0;
}
