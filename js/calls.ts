// Calls of the Go side: JSON with byte strings beside it. Limits (signal, timeout) end a call there,
// not only here.

import { abortError, PagewireError, replyError } from "./errors.js";
import { keep, native } from "./native.js";
import { type Limits, timeoutOf } from "./options.js";

export type Bytes = Uint8Array | undefined;
const absent = 0xffffffff;

/** Byte strings as they cross: {u32 LE length, bytes} each, a length of 2^32-1 for an absent one. */
export function packBytes(list: readonly Bytes[]): Uint8Array {
  let size = 0;
  for (const bytes of list) size += 4 + (bytes?.length ?? 0);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const bytes of list) {
    view.setUint32(at, bytes?.length ?? absent, true);
    at += 4;
    if (bytes === undefined) continue;
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

/** The opposite; every byte string has memory of its own. */
export function unpackBytes(buffer: ArrayBuffer | undefined): Bytes[] {
  const list: Bytes[] = [];
  if (buffer === undefined) return list;
  const view = new DataView(buffer);
  let at = 0;
  while (at < buffer.byteLength) {
    const n = view.getUint32(at, true);
    at += 4;
    if (n === absent) {
      list.push(undefined);
      continue;
    }
    list.push(new Uint8Array(buffer.slice(at, at + n)));
    at += n;
  }
  return list;
}

/** An answer: its JSON and its byte strings. */
export interface Answer<T> {
  value: T;
  bytes: Bytes[];
}

let lastCall = 0;

/** Calls a method of the Go side. */
export function call<T>(
  method: string,
  request: object,
  limits?: Limits,
  bytes?: readonly Bytes[],
): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const signal = limits?.signal;
    const timeout = timeoutOf(limits?.timeout, 0);
    if (signal?.aborted) throw abortError(signal);
    const bridge = native();
    const callId = signal === undefined && timeout === 0 ? undefined : ++lastCall;
    const token = bridge.call(method, JSON.stringify({ ...request, callId }), bytes && packBytes(bytes));
    const stop = (code: string) => {
      const done = bridge.call("cancel", JSON.stringify({ target: callId, code }), undefined);
      keep(done, {}); // the call that is ended gives the answer
    };
    const onAbort = () => stop("aborted");
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = timeout > 0 ? setTimeout(() => stop("timeout"), timeout) : undefined;
    keep(token, {
      reply: (ok, json, bin) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        if (ok) resolve({ value: JSON.parse(json) as T, bytes: unpackBytes(bin) });
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
