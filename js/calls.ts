// Calls of the Go side: JSON with packed byte strings (bytes.ts) beside it. Limits (signal, timeout) end a call there,
// not only here.

import { abortError, PagewireError, replyError } from "./errors.js";
import { type Limits, timeoutOf } from "./limits.js";
import { keep, native } from "./native.js";

/** An answer: its JSON, and byte strings if it has any. */
export interface Answer<T> {
  value: T;
  packed: ArrayBuffer | undefined;
}

let lastCall = 0;

/** Calls a method of the Go side. */
export function call<T>(method: string, request: object, limits?: Limits, packed?: Uint8Array): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const signal = limits?.signal;
    const timeout = timeoutOf(limits?.timeout, 0);
    if (signal?.aborted) throw abortError(signal);
    const bridge = native();
    const callId = signal === undefined && timeout === 0 ? undefined : ++lastCall;
    const token = bridge.call(method, JSON.stringify({ ...request, callId }), packed);
    const stop = (code: string) => {
      const done = bridge.call("cancel", JSON.stringify({ target: callId, code }), undefined);
      keep(done, {}); // the call that is ended gives the answer
    };
    const onAbort = () => stop("aborted");
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = timeout > 0 ? setTimeout(() => stop("timeout"), timeout) : undefined;
    keep(token, {
      reply: (ok, json, answered) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        if (ok) resolve({ value: JSON.parse(json) as T, packed: answered });
        else reject(explain(replyError(json, signal), method, timeout));
      },
    });
  });
}

/** Calls what closes something. It is closed even if the signal has been aborted meanwhile; the caller is told of that. */
export async function callToClose(method: string, request: object, limits: Limits | undefined): Promise<void> {
  const signal = limits?.signal;
  if (!signal?.aborted) {
    await call(method, { ...request, timeoutMs: limits?.timeout }, limits);
    return;
  }
  await call(method, { ...request, timeoutMs: 1 }).catch(() => {});
  throw new PagewireError("aborted", `${method} was aborted: what was under way is cancelled`, {
    cause: signal.reason,
  });
}

function explain(error: PagewireError, method: string, timeout: number): PagewireError {
  if (error.code !== "timeout" || timeout === 0) return error;
  return new PagewireError("timeout", `${method} did not finish within ${timeout} ms`, { cause: error });
}

/** The same, while this thread waits. The method itself must know timeoutMs. */
export function callSync<T>(method: string, request: object): T {
  const [ok, json] = native().callSync(method, JSON.stringify(request), undefined);
  if (!ok) throw replyError(json);
  return JSON.parse(json) as T;
}
