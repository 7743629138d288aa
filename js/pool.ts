// Connections for many actors: a server lets a limited number of actors share one, so another one is made when they are full.

import type { Channel, OpenOptions } from "./channel.js";
import { type ConnectOptions, connect } from "./connect.js";
import type { Database } from "./database.js";

/** Why a database was lost. */
export interface Loss {
  code?: string;
  message?: string;
}

/** A database of a pool. */
export interface Pooled {
  readonly database: Database;
  /** Is told, at most once a cause, that another session took the actor over or that the server refuses this one. */
  onLost: ((loss: Loss) => void) | undefined;
  /** Gives the place back, once the database is closed. */
  release(): void;
}

class Connection {
  /** Actors that are, or are to be, open on it. */
  used = 0;
  limit = Number.POSITIVE_INFINITY;
  readonly open = new Map<string, Pooled>();
  readonly ready: Promise<Channel>;

  constructor(
    options: ConnectOptions,
    private readonly onUseless: (connection: Connection) => void,
  ) {
    this.ready = this.#connect(options);
  }

  async #connect(options: ConnectOptions): Promise<Channel> {
    const channel = await connect(options);
    this.limit = channel.limits.connectionActors;
    channel.on("lockLost", ({ actor, ...loss }) => this.open.get(actor)?.onLost?.(loss));
    channel.on("disconnect", (loss) => {
      if (loss.code !== "unauthorized") return; // anything else mends itself
      this.onUseless(this);
      for (const pooled of this.open.values()) pooled.onLost?.(loss);
    });
    return channel;
  }
}

/** Channels to one server with the same options. None is made before it is needed. */
export class ChannelPool {
  #connections: Connection[] = [];

  constructor(private readonly options: ConnectOptions) {}

  async open(actor: string, options: OpenOptions): Promise<Pooled> {
    for (;;) {
      const connection = this.#withRoom();
      connection.used++;
      try {
        const channel = await connection.ready;
        // The limit became known while several waited for the connection.
        if (connection.used <= connection.limit) return await this.#open(connection, channel, actor, options);
        connection.used--;
      } catch (error) {
        connection.used--;
        throw error;
      }
    }
  }

  #withRoom(): Connection {
    let connection = this.#connections.find(({ used, limit }) => used < limit);
    if (connection === undefined) {
      const made = new Connection(this.options, (useless) => this.#drop(useless));
      made.ready.catch(() => this.#drop(made));
      this.#connections.push(made);
      connection = made;
    }
    return connection;
  }

  #drop(connection: Connection): void {
    this.#connections = this.#connections.filter((other) => other !== connection);
  }

  async #open(connection: Connection, channel: Channel, actor: string, options: OpenOptions): Promise<Pooled> {
    const database = await channel.open(actor, options);
    const pooled: Pooled = {
      database,
      onLost: undefined,
      release: () => {
        if (connection.open.get(actor) === pooled) connection.open.delete(actor);
        connection.used--;
      },
    };
    connection.open.set(actor, pooled);
    return pooled;
  }

  /** Closes every connection, with what is open on it. */
  async close(): Promise<void> {
    const connections = this.#connections;
    this.#connections = [];
    await Promise.all(connections.map(async ({ ready }) => (await ready.catch(() => undefined))?.close()));
  }
}
