// The bridge as TypeScript sees it (napi/), loaded once in each environment, and the jobs in flight.

import { toNamespacedPath } from "node:path";
import { withNative } from "./loader.js";

// Needed only for a value that cannot be bound.
const parameters = () => require("./parameters.js") as typeof import("./parameters.js");

declare const brand: unique symbol;
/** A database or statement handle of the bridge. */
export type Handle = { readonly [brand]: true };

/** Kinds of operations: PW_* of pagewire.h. */
export const EXEC = 1;
export const RUN = 2;
export const GET = 3;
export const ALL = 4;
export const STEP = 6;

// WHAT_* of napi/ops.c.
/** What follows are the values of positional parameters, not an array of them. */
export const VALUES = 8;
/** Before the parameters come needEpoch, timeoutMs and maxRows. */
export const LIMITS = 16;
/** The thread waits for the result. */
export const WAIT = 32;
export const SHAPE = 64;
/** Values that may follow. */
export const mostValues = 8;

/** A finished result: its text, or [text, names, blob, buffer], or a failure; rows.ts reads them. */
export type Packed = string | unknown[];

/** Items of a batch, as batch.ts packs them. */
export type Piece = [
  stmts: Handle[],
  buffer: ArrayBuffer,
  items: number,
  values: number,
  text: string,
  others: unknown[],
];

/** A row of a point read, whose numbers are in the scratch buffer; null if the read must be an operation. */
export type PackedRow = string | [texts: string, blobs: ArrayBuffer] | undefined | null;

/** What pagewire.node exports. A number instead of a result is the token of a job in flight. */
interface Bridge {
  load(
    path: string,
    scratch: ArrayBuffer,
    dispatch: (kind: number, token: number, a: unknown, b: unknown) => void,
    bad: (where: number | string, value: unknown, why: string) => never,
  ): void;
  /** `what` is the known shape times SHAPE, plus the kind, plus VALUES, LIMITS and WAIT where they apply. */
  run(stmt: Handle, what: number, ...rest: unknown[]): Packed | number;
  read(...values: unknown[]): PackedRow;
  pointNew(stmt: Handle, shape: number, params: number, columns: number): number;
  /** Runs a batch of `items`, the first of which come with it, the others by batchMore(). */
  batch(db: Handle, items: number, ...rest: [...Piece, needEpoch: number, timeoutMs: number]): Packed | number;
  batchMore(token: number, first: number, ...piece: Piece): void;
  /** The others will not come: it fails. */
  batchNoMore(token: number): void;
  batchSync(db: Handle, items: number, ...rest: [...Piece, needEpoch: number, timeoutMs: number]): Packed;
  cancel(token: number, code: string): void;
  call(method: string, json: string, bin: Uint8Array | undefined): number;
  callSync(method: string, json: string, bin: Uint8Array | undefined): [boolean, string, ArrayBuffer | undefined];
  stmtNew(db: Handle, sql: string): Handle;
  stmtFree(stmt: Handle): void;
  cursorReset(stmt: Handle): void;
  dbGet(handle: number): Handle | null;
  dbUnref(db: Handle): void;
  dbMetrics(db: Handle): number[];
}

/** An operation or call in flight. Exactly one of its functions is called, once. */
export interface Job {
  done?(packed: Packed | undefined): void;
  reply?(ok: boolean, json: string, bin: ArrayBuffer | undefined): void;
}

/** Results up to this size are written to one reused buffer. */
const scratchBytes = 64 * 1024;
export const scratch = new ArrayBuffer(scratchBytes);

const jobs: (Job | undefined)[] = [];
let loaded: Bridge | undefined;
let onEvent: (json: string) => void = () => {};

// Numbers of DISPATCH_* in napi/bridge.h.
function dispatch(kind: number, token: number, a: unknown, b: unknown): void {
  if (kind === 3) {
    onEvent(a as string);
    return;
  }
  const job = jobs[token];
  jobs[token] = undefined;
  if (kind === 0) job?.done?.(a as Packed | undefined);
  else job?.reply?.(kind === 1, a as string, b as ArrayBuffer | undefined);
}

/** Keeps a job until dispatch() is told of its token. */
export function keep(token: number, job: Job): void {
  jobs[token] = job;
}

/** Sets who is told of the Go side's events. */
export function listen(listener: (json: string) => void): void {
  onEvent = listener;
}

/** The bridge, loaded on first use. Throws a PagewireError if it or the library cannot be. */
export function native(): Bridge {
  loaded ??= withNative((files) => {
    // As require() would, but for looking for the file: it is known where it is.
    const addon = { exports: {} };
    process.dlopen(addon, toNamespacedPath(files.bridge));
    const bridge = addon.exports as Bridge;
    bridge.load(files.library, scratch, dispatch, (where, value, why) => parameters().badParameter(where, value, why));
    return bridge;
  });
  return loaded;
}
