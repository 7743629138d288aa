// The one error class, and how it is made from what the engine and the Go side report.

import { sqliteCodeName } from "./codes.js";

/** What is known about an error beside its code and message. */
export interface PagewireErrorDetails {
  /** SQLite's extended result code, where SQLite took part. */
  sqliteCode?: number | undefined;
  /** Where in `sql` the error is, in UTF-16 units from 0. */
  offset?: number | undefined;
  /** The SQL text that failed. Bound values are never part of it. */
  sql?: string | undefined;
  cause?: unknown;
}

/**
 * Every failure of Pagewire but a wrong argument, which is a TypeError. `code` is stable: a name of
 * Pagewire's (`"lock_lost"`, `"storage_quota_exceeded"`, ...; docs/protocol.md and docs/api.md list
 * them), or SQLite's extended code name (`"SQLITE_CONSTRAINT_UNIQUE"`) where SQLite gave the error.
 */
export class PagewireError extends Error {
  override readonly name = "PagewireError";
  readonly code: string;
  readonly sqliteCode: number | undefined;
  readonly sqliteCodeName: string | undefined;
  readonly offset: number | undefined;
  readonly sql: string | undefined;

  constructor(code: string, message: string, details: PagewireErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.sqliteCode = details.sqliteCode;
    this.sqliteCodeName = details.sqliteCode === undefined ? undefined : sqliteCodeName(details.sqliteCode);
    this.offset = details.offset;
    this.sql = details.sql;
  }
}

/** A failed operation as the engine reports it: code, extended SQLite code, byte offset, message. */
export type Failure = [code: string, sqlite: number, offset: number, message: string];

/** The error of a failed operation. `signal` is the caller's, whose reason is the cause of an abort. */
export function operationError(failure: Failure, sql: string | undefined, signal?: AbortSignal): PagewireError {
  const [code, sqlite, offset, message] = failure;
  return new PagewireError(code || sqliteCodeName(sqlite), message, {
    sqliteCode: sqlite || undefined,
    offset: offset >= 0 && sql !== undefined ? charOffset(sql, offset) : undefined,
    sql,
    cause: code === "aborted" ? signal?.reason : undefined,
  });
}

// SQLite counts bytes of UTF-8, a string counts UTF-16 units.
function charOffset(sql: string, bytes: number): number {
  return Buffer.from(sql, "utf8").subarray(0, bytes).toString("utf8").length;
}

/** The error of a refused call of the Go side: JSON {code, message, sqlite}. */
export function replyError(json: string, signal?: AbortSignal): PagewireError {
  const { code, message, sqlite } = JSON.parse(json) as { code: string; message: string; sqlite?: number };
  const text = message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message;
  return new PagewireError(code || sqliteCodeName(sqlite ?? 1), text, {
    sqliteCode: sqlite || undefined,
    cause: code === "aborted" ? signal?.reason : undefined,
  });
}

/** The error of a call whose signal had been aborted before it began. */
export function abortError(signal: AbortSignal): PagewireError {
  return new PagewireError("aborted", "the call was aborted before it began", { cause: signal.reason });
}

/** What the bridge throws carries a code of ours, or is a TypeError that must stay one. */
export function bridgeError(error: unknown): unknown {
  if (error instanceof TypeError || error instanceof PagewireError) return error;
  const { code, message } = error as { code?: unknown; message: string };
  return typeof code === "string" ? new PagewireError(code, message, { cause: error }) : error;
}

// What to bind instead of a value that cannot be, by its type or class.
const instead: Record<string, string> = {
  undefined: "use null",
  nan: "SQLite has no NaN; use null",
  Date: "use a number (date.getTime()) or a string (date.toISOString())",
  ArrayBuffer: "use a Uint8Array over it",
  SharedArrayBuffer: "use a Uint8Array copy of it",
  Promise: "await it first",
  Array: "bind its items one by one, or use JSON.stringify()",
  object: "use JSON.stringify(), or name the field to bind",
};

/** The TypeError that names a parameter which cannot be bound; `where` counts from 1 or is a name. */
export function badParameter(where: number | string, value: unknown, why: string): never {
  const what = describe(value, why);
  throw new TypeError(`parameter ${typeof where === "number" ? where : JSON.stringify(where)}: ${what}`);
}

function describe(value: unknown, why: string): string {
  if (why === "nan") return `NaN cannot be bound; ${instead.nan}`;
  if (why === "range") return "a bigint beyond 64 bits cannot be bound; use a string or a Uint8Array";
  if (why === "surrogate") {
    return "a string with half of a surrogate pair cannot be bound, for UTF-8 cannot hold it; use toWellFormed(), or a Uint8Array";
  }
  if (value === undefined) return `undefined cannot be bound; ${instead.undefined}`;
  if (typeof value !== "object" || value === null) return `a ${typeof value} cannot be bound`;
  if (ArrayBuffer.isView(value)) {
    return `a ${value.constructor.name} cannot be bound; use a Uint8Array over its buffer`;
  }
  const name = Object.prototype.toString.call(value).slice(8, -1);
  const made = value.constructor?.name || "object";
  const hint = instead[name] ?? instead.object;
  return made === "Object" || made === "object"
    ? `an object cannot be bound; ${hint}`
    : `${/^[AEIOU]/.test(made) ? "an" : "a"} ${made} cannot be bound; ${hint}`;
}
