// Channels: one connection to a server, over which databases and key-value handles are opened.

import { EventEmitter } from "node:events";
import { call, callSync, callToClose } from "./calls.js";
import { Database, type Opened } from "./database.js";
import { PagewireError } from "./errors.js";
import type { Kv } from "./kv.js";
import { checkLimits, type Limits, timeoutOf } from "./limits.js";
import { addMetrics, type DatabaseMetrics, noMetrics } from "./metrics.js";
import { checkNames, type Names } from "./names.js";
import { checkActor, type Integers, modeOf, type RowMode } from "./options.js";

/** What to do when another session has the actor open: fail, wait for it, or take the actor over from it. */
export type OpenMode = "fail" | "wait" | "takeover";

export interface OpenOptions extends Limits {
  mode?: OpenMode | undefined;
  /** Milliseconds that mode "wait" waits. */
  waitMs?: number | undefined;
  /** Bytes of pages that come with the answer; the server has a cap and a default, 0 means none. */
  preload?: number | undefined;
  /** Bytes of page cache of this database at most, 16 MiB unless told otherwise. All share cacheBudget of connect(). */
  cacheBytes?: number | undefined;
  /** How its calls deliver INTEGER results, unless told otherwise: "mixed". */
  integers?: Integers | undefined;
  /** How its calls deliver rows, unless told otherwise: "object". */
  rowMode?: RowMode | undefined;
  /** Milliseconds of each of its calls, unless told otherwise; 0, the default, is no limit but the channel's. */
  callTimeout?: number | undefined;
  /** Statements kept by their text, 128 unless told otherwise. */
  cachedStatements?: number | undefined;
}

const openNames: Names<OpenOptions> = {
  mode: true,
  waitMs: true,
  preload: true,
  cacheBytes: true,
  integers: true,
  rowMode: true,
  callTimeout: true,
  cachedStatements: true,
  signal: true,
  timeout: true,
};

/** Limits that the server announced. */
export interface ServerLimits {
  keyBytes: number;
  valueBytes: number;
  batchKeys: number;
  putBytes: number;
  actorBytes: number;
  connectionActors: number;
  actorQueue: number;
  commitBytes: number;
  frameBytes: number;
  preloadBytes: number;
  fetchPages: number;
  pingMillis: number;
}

/** Events of a channel and what their listeners are given. */
export interface ChannelEvents {
  /**
   * The connection broke; it is being made anew, and calls wait for that. With code "unauthorized" it is not: the server
   * accepts the token no longer, and every call on the channel fails with that code from here on.
   */
  disconnect: [{ code?: string; message?: string }];
  /** The connection stands again, after so many attempts. */
  reconnect: [{ attempt: number }];
  /** Another session took an actor over: its database refuses everything from here on. */
  lockLost: [{ actor: string; code?: string; message?: string }];
  /** The server wants to stop: finish and open actors elsewhere, within graceMs. */
  drain: [{ graceMs?: number; message?: string }];
}

/** Counters of an operation of the protocol. */
export interface ChannelOpMetrics {
  count: number;
  totalMs: number;
  maxMs: number;
  errors: number;
}

/** The memory of pages that the databases of this process share, in bytes. */
export interface CacheMetrics {
  limitBytes: number;
  usedBytes: number;
  /** What the system has given for pages, those on their way to the server and some spare ones too; 0 on Windows. */
  heldBytes: number;
  /** Given back since the process began, since the limit was reached. */
  givenBackBytes: number;
}

export interface ChannelMetrics extends DatabaseMetrics {
  channel: {
    requests: number;
    roundTrips: number;
    bytesSent: number;
    bytesReceived: number;
    reconnects: number;
    resends: number;
    pending: number;
    ops: Record<string, ChannelOpMetrics>;
  };
  /** What all databases of the process hold of the budget that they share (cacheBudget of connect()). */
  cache: CacheMetrics;
  /** Databases open now. sql and vfs are totals of all that this channel has opened. */
  databases: number;
}

/** What the Go side counts. */
type ProcessMetrics = Pick<ChannelMetrics, "channel" | "cache">;

/** What the Go side answers a connect. */
export interface Connected {
  channel: number;
  server: string;
  protocol: number;
  limits: ServerLimits;
}

const channels = new Map<number, Channel>();

/** Tells a channel of an event, which names it by number; one of a channel that was closed meanwhile is of no interest. */
export function deliver(json: string): void {
  const { channel, event, ...details } = JSON.parse(json) as { channel: number; event: string };
  const target: EventEmitter | undefined = channels.get(channel);
  target?.emit(event, details);
}

/** A connection to a server. It reconnects by itself, and databases go on where they were. */
export class Channel extends EventEmitter<ChannelEvents> {
  /** The server's name and version. */
  readonly server: string;
  /** The version of the protocol that both speak. */
  readonly protocol: number;
  readonly limits: ServerLimits;
  readonly #id: number;
  readonly #databases = new Set<Database>();
  readonly #closed = noMetrics();
  #stop: PagewireError | undefined;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(connected: Connected) {
    super();
    this.#id = connected.channel;
    this.server = connected.server;
    this.protocol = connected.protocol;
    this.limits = connected.limits;
    channels.set(this.#id, this);
  }

  #check(): void {
    if (this.#stop !== undefined) throw new PagewireError(this.#stop.code, this.#stop.message);
  }

  #request(actor: string, options: OpenOptions): object {
    this.#check();
    checkActor(actor);
    checkNames("open", options, openNames);
    modeOf(options.integers ?? "mixed", options.rowMode ?? "object");
    timeoutOf(options.callTimeout, 0);
    return {
      channel: this.#id,
      actor,
      mode: options.mode ?? "fail",
      waitMs: options.waitMs,
      preloadBytes: options.preload,
      cacheBytes: options.cacheBytes,
    };
  }

  #opened(actor: string, opened: Opened, options: OpenOptions): Database {
    const db = new Database(this, actor, opened, {
      integers: options.integers ?? "mixed",
      rowMode: options.rowMode ?? "object",
      timeout: options.callTimeout ?? 0,
      cachedStatements: Math.max(1, options.cachedStatements ?? 128),
    });
    this.#databases.add(db);
    return db;
  }

  /** Opens an actor's database: lock, fence and preload in one round trip. */
  async open(actor: string, options: OpenOptions = {}): Promise<Database> {
    const { value } = await call<Opened>("open", this.#request(actor, options), options);
    return this.#opened(actor, value, options);
  }

  /** The same, while this thread waits. */
  openSync(actor: string, options: OpenOptions = {}): Database {
    const request = { ...this.#request(actor, options), timeoutMs: options.timeout };
    return this.#opened(actor, callSync<Opened>("open", request), options);
  }

  /** An actor's keys and values, without SQL. */
  kv(actor: string): Kv {
    this.#check();
    checkActor(actor);
    const keyed = require("./kv.js") as typeof import("./kv.js");
    return new keyed.Kv(this.#id, actor);
  }

  /** @internal */
  forget(db: Database): void {
    if (this.#databases.delete(db)) addMetrics(this.#closed, db.metrics());
  }

  /** Counters of the channel and totals of its databases: docs/metrics.md. */
  async metrics(): Promise<ChannelMetrics> {
    this.#check();
    const { value } = await call<ProcessMetrics>("channel.metrics", { channel: this.#id });
    return this.#totals(value);
  }

  metricsSync(): ChannelMetrics {
    this.#check();
    return this.#totals(callSync("channel.metrics", { channel: this.#id }));
  }

  #totals({ channel, cache }: ProcessMetrics): ChannelMetrics {
    const totals = noMetrics();
    addMetrics(totals, this.#closed);
    for (const db of this.#databases) addMetrics(totals, db.metrics());
    totals.vfs.stagedBytes = totals.vfs.pendingBytes = totals.vfs.cacheBytes = 0;
    for (const db of this.#databases) {
      const { vfs } = db.metrics();
      totals.vfs.stagedBytes += vfs.stagedBytes;
      totals.vfs.pendingBytes += vfs.pendingBytes;
      totals.vfs.cacheBytes += vfs.cacheBytes;
    }
    return { channel: { ...channel, ops: channel.ops ?? {} }, cache, ...totals, databases: this.#databases.size };
  }

  /**
   * Closes its databases, as each one's close() does, and then the connection. Rejects with the first
   * failure, but closes everything all the same. Calls made later reject with "channel_closed".
   */
  close(options?: Limits): Promise<void> {
    if (this.#closing === undefined) {
      // What is refused here has closed nothing, and may be tried again.
      try {
        checkLimits(options);
        for (const db of this.#databases) db.checkDeadlock();
      } catch (error) {
        return Promise.reject(error);
      }
      this.#closing = this.#close(options);
    }
    return this.#closing;
  }

  async #close(options: Limits | undefined): Promise<void> {
    this.#stop = new PagewireError("channel_closed", "the channel is closed");
    const stop = this.#stop;
    const closed = await Promise.allSettled([...this.#databases].map((db) => db.closeBecause(stop, options)));
    channels.delete(this.#id);
    await callToClose("channel.close", { channel: this.#id }, options);
    for (const result of closed) if (result.status === "rejected") throw result.reason;
  }

  closeSync(options?: Limits): void {
    if (this.#stop !== undefined) return;
    for (const db of this.#databases) db.closeSync(options);
    this.#stop = new PagewireError("channel_closed", "the channel is closed");
    this.#closing = Promise.resolve();
    channels.delete(this.#id);
    callSync("channel.close", { channel: this.#id, timeoutMs: options?.timeout });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
