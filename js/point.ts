// Point reads: the first row of a statement that is read often, on this thread, and nothing made for it but the row
// (napi/point.c). Numbers cross in the scratch buffer: those of the parameters from its beginning and which statement it
// is behind them, those of the row in the same place, with a tag a column behind them.

import type { Sql } from "./core.js";
import { mostValues, native, type PackedRow } from "./native.js";
import type { Mode } from "./options.js";
import { noBlob, scratch64 } from "./rows.js";

/** Stands for a row that cannot be had at once: the read must be run as an operation, which also tells what is wrong. */
export const notAtOnce = Object.freeze({});

/** Reads of a statement until it gets a number, which takes memory. */
const often = 8;
/** Where the number stands, in doubles: POINT of napi/point.c. */
const numberAt = mostValues;

const { slice } = Array.prototype;

/** How a statement is read: as long as its columns are those of the shape, and its parameters so many. */
export class Point {
  constructor(
    readonly shape: number,
    private readonly params: number,
    private readonly number: number,
    private readonly decode: (texts: string, blobs: Uint8Array) => unknown,
    private readonly read: (...values: unknown[]) => PackedRow,
  ) {}

  /** Are there as many values as parameters, in an array? */
  takes(params: unknown): boolean {
    return (Array.isArray(params) ? params.length : params === undefined ? 0 : -1) === this.params;
  }

  row(params: readonly unknown[] | undefined): unknown {
    const packed = this.call(params);
    if (typeof packed === "string") return this.decode(packed, noBlob);
    if (packed === undefined) return undefined;
    if (packed === null) return notAtOnce;
    return this.decode(packed[0], new Uint8Array(packed[1]));
  }

  // Values are read out of their array before the first one is written: what reads one may run JavaScript, and another
  // read in it.
  private call(params: readonly unknown[] | undefined): PackedRow {
    const n = this.params;
    if (n === 1) {
      const value = params![0];
      if (typeof value !== "number") return this.pass([value]);
      scratch64[0] = value;
    } else if (n > 1) {
      const values = slice.call(params) as unknown[];
      for (let i = 0; i < n; i++) {
        const value = values[i];
        if (typeof value !== "number") return this.pass(values);
        scratch64[i] = value;
      }
    }
    scratch64[numberAt] = this.number;
    return this.read();
  }

  private pass(values: unknown[]): PackedRow {
    scratch64[numberAt] = -1 - this.number;
    return values.length === 1 ? this.read(values[0]) : this.read.apply(undefined, values);
  }
}

/** The first row of sql, undefined if it has none, or notAtOnce. Throws what decoding it throws. */
export function readAtOnce(sql: Sql, params: unknown, mode: Mode): unknown {
  const { point } = sql;
  if (point !== undefined && point.shape === sql.shapes.latest && point.takes(params)) {
    return point.row(params as unknown[] | undefined);
  }
  sql.reads++;
  if (sql.reads >= often) sql.point = pointOf(sql, params, mode);
  return notAtOnce;
}

/** How to read sql from now on, if its parameters are like these; undefined if that is not known, or not to be. */
function pointOf(sql: Sql, params: unknown, mode: Mode): Point | undefined {
  sql.reads = 0;
  const { latest } = sql.shapes;
  const n = params === undefined ? 0 : Array.isArray(params) ? params.length : mostValues + 1;
  if (latest === 0 || n > mostValues) return undefined;
  const shape = sql.shapes.find(latest);
  const bridge = native();
  const number = bridge.pointNew(sql.handle, latest, n, shape.names.length);
  return number < 0 ? undefined : new Point(latest, n, number, shape.decoder(mode).one, bridge.read);
}
