// Limits that callers set: of a call, of memory.

import { abortError } from "./errors.js";

/** Limits of one call. */
export interface Limits {
  /** Ends the call with code "aborted"; the signal's reason is the error's cause. */
  signal?: AbortSignal | undefined;
  /** Milliseconds until the call ends with code "timeout". */
  timeout?: number | undefined;
}

/** Checks a timeout: milliseconds, at least 1, at most 2^31 - 1; undefined and 0 mean none. */
export function timeoutOf(timeout: number | undefined, otherwise: number): number {
  if (timeout === undefined) return otherwise;
  if (!Number.isInteger(timeout) || timeout < 0 || timeout > 0x7fffffff) {
    throw new TypeError(`timeout: ${String(timeout)} is not a whole number of milliseconds from 0 to 2147483647`);
  }
  return timeout;
}

/** Checks a number of bytes, or of what `unit` says: at least 1; undefined leaves it as it is. */
export function countOf(name: string, count: number | undefined, unit = "bytes"): number | undefined {
  if (count !== undefined && (!Number.isSafeInteger(count) || count < 1)) {
    throw new TypeError(`${name}: ${String(count)} is not a whole number of ${unit} from 1 on`);
  }
  return count;
}

/** Checks limits before anything is begun: throws if the timeout is none, or if the signal has been aborted. */
export function checkLimits(limits: Limits | undefined): void {
  timeoutOf(limits?.timeout, 0);
  if (limits?.signal?.aborted) throw abortError(limits.signal);
}
