// The generic key-value interface of an actor: what the databases themselves are stored through.

import { type Bytes, callWith } from "./bytes.js";
import { call } from "./calls.js";
import type { OpenMode } from "./channel.js";
import { PagewireError } from "./errors.js";
import { countOf, type Limits } from "./limits.js";
import { checkNames, type Names } from "./names.js";

/** A key or a value; a string stands for its UTF-8 bytes. */
export type KvBytes = Uint8Array | string;
export type KvEntry = [key: Uint8Array, value: Uint8Array];

/** Keys that begin with `prefix`, up to maxBytes of them; `partial` says whether a part is better than nothing. */
export interface KvPreloadPrefix {
  prefix: KvBytes;
  maxBytes: number;
  partial?: boolean | undefined;
}

export interface KvOpenOptions extends Limits {
  mode?: OpenMode | undefined;
  waitMs?: number | undefined;
  /** What comes with the answer, in order of priority, under one budget of bytes. */
  preload?:
    | {
        budget?: number | undefined;
        keys?: readonly KvBytes[] | undefined;
        prefixes?: readonly KvPreloadPrefix[] | undefined;
      }
    | undefined;
}

const openNames: Names<KvOpenOptions> = { mode: true, waitMs: true, preload: true, signal: true, timeout: true };

/** What an open found. A key that was not scanned may exist all the same. */
export interface KvOpened {
  generation: number;
  seq: number;
  files: { tag: number; size: number }[];
  entries: KvEntry[];
  scannedKeys: Uint8Array[];
  /** Prefixes that were scanned: to their end if complete, else up to and with the key `through`. */
  scannedPrefixes: { prefix: Uint8Array; through: Uint8Array | undefined; complete: boolean }[];
}

export interface KvListOptions extends Limits {
  prefix?: KvBytes | undefined;
  /** The first key. */
  start?: KvBytes | undefined;
  /** The first key that is not wanted any more. */
  end?: KvBytes | undefined;
  /** From the last key to the first. */
  reverse?: boolean | undefined;
  /** Entries at most, from 1 on; the server has a cap. */
  limit?: number | undefined;
}

const listNames: Names<KvListOptions> = {
  prefix: true,
  start: true,
  end: true,
  reverse: true,
  limit: true,
  signal: true,
  timeout: true,
};

function bytesOf(value: KvBytes, what: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string") return Buffer.from(value, "utf8");
  throw new TypeError(`${what} is neither a Uint8Array nor a string`);
}

const maybe = (value: KvBytes | undefined, what: string): Bytes =>
  value === undefined ? undefined : bytesOf(value, what);

function pairs(bytes: readonly Bytes[]): KvEntry[] {
  const entries: KvEntry[] = [];
  for (let i = 0; i + 1 < bytes.length; i += 2) entries.push([bytes[i]!, bytes[i + 1]!]);
  return entries;
}

/**
 * An actor's keys and values. open() takes the actor's lock, as opening its database does. Calls take effect in the order in
 * which they were made, awaited or not.
 */
export class Kv {
  #handle: number | undefined;
  #closed = false;

  /** @internal */
  constructor(
    private readonly channel: number,
    readonly actor: string,
  ) {}

  #use(): number {
    if (this.#handle === undefined) {
      throw this.#closed
        ? new PagewireError("closed", "the key-value handle is closed")
        : new PagewireError("actor_not_open", "the key-value handle is not open yet: call open() first");
    }
    return this.#handle;
  }

  async open(options: KvOpenOptions = {}): Promise<KvOpened> {
    if (this.#handle !== undefined) throw new PagewireError("bad_request", "the key-value handle is open already");
    checkNames("kv.open", options, openNames);
    const keys = (options.preload?.keys ?? []).map((key) => bytesOf(key, "a key to preload"));
    const prefixes = options.preload?.prefixes ?? [];
    const request = {
      channel: this.channel,
      actor: this.actor,
      mode: options.mode ?? "fail",
      waitMs: options.waitMs,
      budget: options.preload?.budget,
      keys: keys.length,
      prefixes: prefixes.map(({ maxBytes, partial }) => ({ maxBytes, partial: partial ?? false })),
    };
    const sent = [...keys, ...prefixes.map(({ prefix }) => bytesOf(prefix, "a prefix to preload"))];
    const { value, bytes } = await callWith<{
      kv: number;
      generation: number;
      seq: number;
      files: { tag: number; size: number }[] | null;
      scannedKeys: number;
      scannedPrefixes: { complete: boolean }[] | null;
    }>("kv.open", request, options, sent);
    this.#handle = value.kv;
    this.#closed = false;
    const scanned = value.scannedPrefixes ?? [];
    const ranges = bytes.slice(value.scannedKeys, value.scannedKeys + 2 * scanned.length);
    return {
      generation: value.generation,
      seq: value.seq,
      files: value.files ?? [],
      entries: pairs(bytes.slice(value.scannedKeys + 2 * scanned.length)),
      scannedKeys: bytes.slice(0, value.scannedKeys) as Uint8Array[],
      scannedPrefixes: scanned.map(({ complete }, i) => ({
        prefix: ranges[2 * i]!,
        through: ranges[2 * i + 1],
        complete,
      })),
    };
  }

  /** The value of a key, or of each of several keys; undefined where there is none. */
  async get(key: KvBytes, limits?: Limits): Promise<Uint8Array | undefined>;
  async get(keys: readonly KvBytes[], limits?: Limits): Promise<(Uint8Array | undefined)[]>;
  async get(keys: KvBytes | readonly KvBytes[], limits?: Limits): Promise<Bytes | Bytes[]> {
    const many = Array.isArray(keys);
    const list = (many ? keys : [keys]) as readonly KvBytes[];
    const sent = list.map((key) => bytesOf(key, "a key"));
    const { bytes } = await callWith("kv.get", { kv: this.#use() }, limits, sent);
    return many ? bytes : bytes[0];
  }

  /** Writes entries, all or none of them. */
  async put(entries: Iterable<readonly [KvBytes, KvBytes]>, limits?: Limits): Promise<void> {
    const sent: Bytes[] = [];
    for (const [key, value] of entries) sent.push(bytesOf(key, "a key"), bytesOf(value, "a value"));
    await callWith("kv.put", { kv: this.#use() }, limits, sent);
  }

  async delete(keys: KvBytes | readonly KvBytes[], limits?: Limits): Promise<void> {
    const list = (Array.isArray(keys) ? keys : [keys]) as readonly KvBytes[];
    const sent = list.map((key) => bytesOf(key, "a key"));
    await callWith("kv.delete", { kv: this.#use() }, limits, sent);
  }

  /** Deletes the keys from start up to, but not including, end. */
  async deleteRange(start: KvBytes, end: KvBytes, limits?: Limits): Promise<void> {
    await callWith("kv.deleteRange", { kv: this.#use() }, limits, [bytesOf(start, "start"), bytesOf(end, "end")]);
  }

  /** Entries in the order of their keys; `more` says that the limit, or the server's, cut them off. */
  async list(options: KvListOptions = {}): Promise<{ entries: KvEntry[]; more: boolean }> {
    checkNames("kv.list", options, listNames);
    const limit = countOf("limit", options.limit, "entries");
    const { value, bytes } = await callWith<{ more: boolean }>(
      "kv.list",
      { kv: this.#use(), reverse: options.reverse ?? false, limit },
      options,
      [maybe(options.prefix, "prefix"), maybe(options.start, "start"), maybe(options.end, "end")],
    );
    return { entries: pairs(bytes), more: value.more };
  }

  /** Gives the actor's lock back. */
  async close(limits?: Limits): Promise<void> {
    if (this.#handle === undefined) return;
    const kv = this.#handle;
    this.#handle = undefined;
    this.#closed = true;
    await call("kv.close", { kv }, limits);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
