// What callers pass in: parameters and options.

import { PagewireError } from "./errors.js";
import type { Limits } from "./limits.js";

/** A value to bind. Booleans bind as 0 and 1, safe integers as INTEGER, other numbers as REAL. */
export type Value = null | boolean | number | bigint | string | Uint8Array;
/** Values for `?` by position, or for `:name`, `@name`, `$name` by name (with or without its prefix). */
export type Params = readonly Value[] | { readonly [name: string]: Value };

/** How INTEGER results are delivered: number where safe and else bigint ("mixed"), or always the one. */
export type Integers = "number" | "bigint" | "mixed";
/** How rows are delivered. */
export type RowMode = "object" | "array";

/** Options of one call that returns rows. */
export interface CallOptions extends Limits {
  integers?: Integers | undefined;
  rowMode?: RowMode | undefined;
}

/** What run() resolves to. */
export interface RunResult<T = unknown> {
  /** Rows that the statement itself inserted, updated or deleted. */
  changes: number;
  /** The rowid of the last INSERT of this connection; a bigint only where a number is not exact. */
  lastInsertRowid: number | bigint;
  /** The rows, if the statement has columns (INSERT ... RETURNING, PRAGMA, SELECT, ...). */
  rows?: T[];
}

/** A way to deliver rows, as an index of Shape.decoders: see modeOf(). */
export type Mode = number;
export const modes = 6;

export function modeOf(integers: Integers, rowMode: RowMode): Mode {
  const i = integers === "mixed" ? 0 : integers === "number" ? 1 : integers === "bigint" ? 2 : -1;
  if (i < 0) throw new TypeError(`integers: ${JSON.stringify(integers)} is not "number", "bigint" or "mixed"`);
  if (rowMode === "object") return i;
  if (rowMode === "array") return i + 3;
  throw new TypeError(`rowMode: ${JSON.stringify(rowMode)} is not "object" or "array"`);
}

/** Checks that an actor's id is text that UTF-8 can hold: else two ids would become one. The server checks the rest. */
export function checkActor(actor: unknown): asserts actor is string {
  if (typeof actor !== "string") throw new TypeError("actor: the id is not a string");
  if (/\p{Surrogate}/u.test(actor)) {
    throw new PagewireError("invalid_actor", "the actor id holds half of a surrogate pair, which UTF-8 cannot hold");
  }
}

/** Checks that SQL is text. */
export function checkSql(sql: unknown): asserts sql is string {
  if (typeof sql !== "string") throw new TypeError(`sql: ${sql === null ? "null" : typeof sql} is not a string`);
}
