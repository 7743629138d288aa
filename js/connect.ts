// Connecting: what runs before a server answers.

import { call, callSync } from "./calls.js";
import type { Channel, Connected } from "./channel.js";
import { countOf, type Limits, timeoutOf } from "./limits.js";
import { checkNames, type Names } from "./names.js";
import { listen } from "./native.js";

// What comes after the answer is most of the package: it is compiled while the server answers, not by who only requires the
// package (scripts/bundle.mjs).
const channels = () => require("./channel.js") as typeof import("./channel.js");

export interface ConnectOptions extends Limits {
  /** ws:// or wss://, without a token in it. */
  url: string;
  /** The bearer token, sent in a header. */
  token?: string | undefined;
  /** The namespace that actors are in; "default" unless told otherwise. */
  namespace?: string | undefined;
  /** Milliseconds for the connection to stand, 10 s unless told otherwise; also when it is made anew. */
  connectTimeout?: number | undefined;
  /** Milliseconds for a request over the channel to be answered, reconnects included; 30 s unless told otherwise. */
  requestTimeout?: number | undefined;
  /** Milliseconds between attempts to reconnect, growing from the first to the second. */
  backoff?: { min?: number | undefined; max?: number | undefined } | undefined;
  /**
   * Bytes of memory for pages that all open databases of this process share, 256 MiB unless told otherwise. There is one
   * such budget a process: a connect() that names another one changes it for all channels and threads.
   */
  cacheBudget?: number | undefined;
}

/** @internal What describes a channel, as opposed to the call that makes it. */
export const channelNames: Names<Omit<ConnectOptions, keyof Limits>> = {
  url: true,
  token: true,
  namespace: true,
  connectTimeout: true,
  requestTimeout: true,
  backoff: true,
  cacheBudget: true,
};

const names: Names<ConnectOptions> = { ...channelNames, signal: true, timeout: true };

function deliver(event: string): void {
  channels().deliver(event);
}

function connectRequest(options: ConnectOptions): object {
  checkNames("connect", options, names);
  if (typeof options?.url !== "string") throw new TypeError("connect: url is missing");
  return {
    url: options.url,
    token: options.token,
    namespace: options.namespace ?? "default",
    connectTimeoutMs: timeoutOf(options.connectTimeout, 0) || undefined,
    timeoutMs: timeoutOf(options.requestTimeout, 0) || undefined,
    backoffMinMs: options.backoff?.min,
    backoffMaxMs: options.backoff?.max,
    cacheBudget: countOf("cacheBudget", options.cacheBudget),
  };
}

/** Connects to a server. Rejects with the reason: "unauthorized", "unreachable", ... */
export async function connect(options: ConnectOptions): Promise<Channel> {
  listen(deliver);
  const answer = call<Connected>("connect", connectRequest(options), options);
  const { Channel } = channels();
  const { value } = await answer;
  return new Channel(value);
}

/** The same, while this thread waits. */
export function connectSync(options: ConnectOptions): Channel {
  listen(deliver);
  const connected = callSync<Connected>("connect", connectRequest(options));
  return new (channels().Channel)(connected);
}
