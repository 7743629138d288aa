// The one error class, and how it is made from what the Go side reports.

// SQLite gives no error before a database is open, and until then their names need not be read.
const sqliteCodeName = (code: number) => (require("./codes.js") as typeof import("./codes.js")).sqliteCodeName(code);

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
