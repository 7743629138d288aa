// A database provider for RivetKit: actor({ db: pagewire({ ... }) }). RivetKit decides where an actor runs; its database
// follows it there, so an open takes over from a process that RivetKit has given up. Nothing of RivetKit is imported: its
// versions 2.2 and 2.3 call a provider in the same way, and the types here fit the types of both.

import type { OpenMode } from "./channel.js";
import { type ConnectOptions, channelNames } from "./connect.js";
import type { Database } from "./database.js";
import {
  type DrizzleBatch,
  type DrizzleCallback,
  type DrizzleClient,
  type DrizzleMigrations,
  drizzleClient,
  migrate,
} from "./drizzle.js";
import { PagewireError } from "./errors.js";
import { checkNames, type Names } from "./names.js";
import { ChannelPool, type Pooled } from "./pool.js";
import { type RawClient, rawClient, type Wrap } from "./rivetkitclient.js";
import type { Runner } from "./runner.js";

export type { DrizzleBatch, DrizzleCallback, DrizzleClient, DrizzleMigrations } from "./drizzle.js";
export type { RawClient, TransactionOptions } from "./rivetkitclient.js";

/** Where the databases are, and what each of them is made of. */
export interface ProviderOptions<Client> extends Omit<ConnectOptions, "signal" | "timeout"> {
  /**
   * Makes or changes the schema, at every start of an actor and before anything else: in one transaction, whose object
   * it is given. If it throws, the actor does not start and nothing has changed.
   */
  onMigrate?: ((db: Client) => Promise<void> | void) | undefined;
  /**
   * What an actor that starts does if another process has its database open: "takeover" unless told otherwise, for RivetKit
   * starts an actor elsewhere only when it counts the former process as gone. "wait" waits for at most waitMs.
   */
  mode?: OpenMode | undefined;
  waitMs?: number | undefined;
  /** Bytes of page cache of one database. */
  cacheBytes?: number | undefined;
  /** The name of an actor's database, its actor id unless told otherwise. */
  actorName?: ((actorId: string) => string) | undefined;
  /** Milliseconds for what is under way to end when an actor stops, 10 s unless told otherwise; then it is cut off. */
  closeTimeout?: number | undefined;
}

/** Options of the Drizzle form. */
export interface DrizzleOptions<D extends object> extends ProviderOptions<DrizzleClient<D>> {
  /** Makes the Drizzle database: `(...callbacks) => drizzle(...callbacks, { schema })`, of drizzle-orm/sqlite-proxy. */
  drizzle: (callback: DrizzleCallback, batch: DrizzleBatch) => D;
  /** What drizzle-kit generated (`migrations.js`): those that have not been applied run before onMigrate. */
  migrations?: DrizzleMigrations | undefined;
}

const names: Names<DrizzleOptions<object>> = {
  drizzle: true,
  migrations: true,
  onMigrate: true,
  mode: true,
  waitMs: true,
  cacheBytes: true,
  actorName: true,
  closeTimeout: true,
  ...channelNames,
};

/** What hooks need of an actor's context. */
export interface HookContext {
  db: unknown;
  sleep(): void;
  log?: { warn?: (details: object) => void } | undefined;
}

/** The part of an actor's life that RivetKit tells actors alone: `actor({ db, ...db.hooks })`. */
export interface Hooks {
  /** Puts the actor to sleep as soon as its database is lost, and logs the reason. */
  onWake(c: HookContext): void;
  /** Makes the end of the actor the end of its data: they are deleted when its database closes. */
  onDestroy(c: Pick<HookContext, "db">): void;
}

/** What RivetKit calls. */
export interface Provider<Client> {
  createClient(context: { actorId: string }): Promise<Client>;
  onMigrate(client: Client): Promise<void>;
  /** Only RivetKit 2.2 calls it, whenever an actor stops. 2.3 calls the client's close(). */
  onDestroy(client: Client): Promise<void>;
  readonly hooks: Hooks;
  /** Closes the connections, and what is still open on them. The next actor to start makes new ones. */
  close(): Promise<void>;
}

/** One actor awake: its database, and what becomes of it. */
class Session {
  readonly database: Database;
  readonly client: object;
  #lost: PagewireError | undefined;
  #context: HookContext | undefined;
  #destroyed = false;
  #closing: Promise<void> | undefined;

  constructor(
    private readonly pooled: Pooled,
    wrap: Wrap<object>,
    private readonly closeTimeout: number,
  ) {
    this.database = pooled.database;
    this.client = wrap(this.database, this);
    pooled.onLost = (reason) => this.lose(reason);
  }

  /** Rejects with why the database was lost, if it was: the first to notice may be a call, or the channel. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    this.#check();
    try {
      return await work();
    } catch (error) {
      if (error instanceof PagewireError && (error.code === "lock_lost" || error.code === "unauthorized")) {
        this.lose(error);
        this.#check();
      }
      throw error;
    }
  }

  #check(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  lose(reason: { code?: string; message?: string }): void {
    if (this.#lost !== undefined || this.#closing !== undefined) return;
    this.#lost = lostError(reason);
    this.#stop();
  }

  guard(context: HookContext): void {
    this.#context = context;
    if (this.#lost !== undefined) this.#stop();
  }

  #stop(): void {
    const { code, message } = this.#lost!;
    const context = this.#context;
    if (context === undefined) return;
    context.log?.warn?.({
      msg: "the actor lost its database and goes to sleep",
      actor: this.database.actor,
      code,
      reason: message,
    });
    try {
      context.sleep();
    } catch {
      // It is stopping already.
    }
  }

  destroy(): void {
    this.#destroyed = true;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.database.close({ timeout: this.closeTimeout });
      if (this.#destroyed && this.#lost === undefined) await this.#delete();
    } catch (error) {
      // Who lost the database has nothing to finish, and the new holder is not disturbed.
      if (this.#lost === undefined) throw error;
    } finally {
      this.pooled.release();
    }
  }

  // Mode "fail": whoever opened the actor meanwhile keeps it.
  async #delete(): Promise<void> {
    const kv = this.database.channel.kv(this.database.actor);
    await kv.open({ mode: "fail" });
    try {
      await kv.deleteRange(Uint8Array.of(0x08), Uint8Array.of(0x09)); // every file: docs/storage-layout.md
    } finally {
      await kv.close();
    }
  }
}

// An error of RivetKit's own shape: callers of an action are told no others.
function lostError({ code = "lock_lost", message = "the database was lost" }: { code?: string; message?: string }) {
  const known = { __type: "ActorError", group: "pagewire", public: true, statusCode: 503 };
  return Object.assign(new PagewireError(code, message), known);
}

/** A provider of Drizzle databases, which are raw clients too. */
export function pagewire<D extends object>(options: DrizzleOptions<D>): Provider<DrizzleClient<D>>;
/** A provider of raw clients: `c.db.execute(sql, ...params)`. */
export function pagewire(options: ProviderOptions<RawClient>): Provider<RawClient>;
export function pagewire<D extends object>(options: ProviderOptions<never> & Partial<DrizzleOptions<D>>): unknown {
  checkNames("pagewire", options, names);
  const { drizzle, migrations, onMigrate, mode = "takeover", waitMs, cacheBytes, actorName, ...rest } = options;
  const { closeTimeout = 10_000, ...connection } = rest;
  if (typeof options.url !== "string") throw new TypeError("pagewire: url is missing");
  const pool = new ChannelPool(connection);
  const sessions = new WeakMap<object, Session>();
  const wrap: Wrap<object> =
    drizzle === undefined ? rawClient : (runner, session) => drizzleClient(drizzle, runner, session);

  const sessionOf = (client: unknown): Session => {
    const session = sessions.get(client as object);
    if (session === undefined) throw new TypeError("pagewire: c.db does not come from this provider");
    return session;
  };

  return {
    async createClient({ actorId }) {
      const pooled = await pool.open(actorName?.(actorId) ?? actorId, { mode, waitMs, cacheBytes });
      const session = new Session(pooled, wrap, closeTimeout);
      sessions.set(session.client, session);
      return session.client;
    },
    async onMigrate(client) {
      if (migrations === undefined && onMigrate === undefined) return;
      const session = sessionOf(client);
      await session.run(() =>
        session.database.transaction(async (tx: Runner) => {
          if (migrations !== undefined) await migrate(tx, migrations);
          await onMigrate?.(wrap(tx, session) as never);
        }),
      );
    },
    onDestroy: (client) => sessionOf(client).close(),
    hooks: {
      onWake: (c) => sessionOf(c.db).guard(c),
      onDestroy: (c) => sessionOf(c.db).destroy(),
    },
    close: () => pool.close(),
  } satisfies Provider<object>;
}
