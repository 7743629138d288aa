// How an operation that failed becomes an error.

import { sqliteCodeName } from "./codes.js";
import { PagewireError } from "./errors.js";

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

/** What the bridge throws carries a code of ours, or is a TypeError that must stay one. */
export function bridgeError(error: unknown): unknown {
  if (error instanceof TypeError || error instanceof PagewireError) return error;
  const { code, message } = error as { code?: unknown; message: string };
  return typeof code === "string" ? new PagewireError(code, message, { cause: error }) : error;
}
