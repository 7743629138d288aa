// A process that hosts actors, on the version of RivetKit that its first argument names. Its parent tells it where the
// servers are, in the environment, and hears what happens to actors, as messages.

import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { drizzle } from "drizzle-orm/sqlite-proxy";
import { pagewire } from "pagewire/rivetkit";

const { actor, setup } = await import(process.argv[2]);
const { PAGEWIRE_URL: url, PAGEWIRE_TOKEN: token, HOST_CONFIG } = process.env;
const tell = (message) => process.send?.(message);

// What the parent may change: the version of the schema that actors migrate to, and whether migrations fail at their end.
const settings = { schema: 1, failing: false };
process.on("message", (changed) => {
  Object.assign(settings, changed);
  tell({ event: "set" });
});

const steps = [
  "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, data BLOB) STRICT",
  "ALTER TABLE notes ADD COLUMN stars INTEGER NOT NULL DEFAULT 5",
];

/** Tells when a database of the provider is closed, which no hook of an actor can. */
function watched(provider) {
  const { createClient, onDestroy } = provider;
  provider.createClient = async (context) => {
    const client = await createClient(context);
    const { close } = client;
    client.close = async () => {
      await close();
      tell({ event: "closed", id: context.actorId });
    };
    return client;
  };
  provider.onDestroy = async (client) => {
    await onDestroy(client);
    tell({ event: "closed", id: client.pagewire.actor });
  };
  return provider;
}

const raw = watched(
  pagewire({
    url,
    token,
    backoff: { min: 10, max: 100 },
    async onMigrate(db) {
      const [{ user_version: done }] = await db.execute("PRAGMA user_version");
      for (const step of steps.slice(done, settings.schema)) await db.execute(step);
      await db.execute(`PRAGMA user_version = ${settings.schema}`);
      if (settings.failing) throw new Error("the migration fails");
    },
  }),
);

const options = { actionTimeout: 60_000, sleepTimeout: 600_000 };
const ending = {
  sleepNow: (c) => c.sleep(),
  destroyNow: (c) => c.destroy(),
};

const count = async (db) => (await db.execute("SELECT count(*) AS n FROM notes"))[0].n;

/** Tells how each of the inserts ended, when all have; the actor itself may be gone by then. */
function report(id, inserts) {
  Promise.allSettled(inserts).then((results) => {
    const failed = results.filter(({ status }) => status === "rejected").map(({ reason }) => reason.code);
    tell({ event: "settled", id, stored: results.length - failed.length, codes: [...new Set(failed)] });
  });
}

const notes = actor({
  options,
  db: raw,
  ...raw.hooks,
  actions: {
    ...ending,
    id: (c) => c.actorId,
    // Callers may try a call again that has run, so it does nothing the second time.
    add: async (c, ...texts) => {
      for (const one of texts) await c.db.execute("INSERT INTO notes (text) VALUES (?) ON CONFLICT DO NOTHING", one);
      return count(c.db);
    },
    all: (c) => c.db.execute("SELECT * FROM notes ORDER BY id"),
    count: (c) => count(c.db),
    change: async (c, from, to) => {
      const changed = await c.db.execute("UPDATE notes SET text = $to WHERE text = $from RETURNING id", { from, to });
      await c.db.execute("DELETE FROM notes WHERE text = ?", "to delete");
      return changed;
    },
    values: async (c, data) => {
      await c.db.execute("INSERT INTO notes (text, data) VALUES (?, ?)", "nul \0 in it", new Uint8Array(data));
      const sql =
        "SELECT text, data, 9007199254740993 AS big, true AS yes, NULL AS no FROM notes WHERE data IS NOT NULL";
      const [row] = await c.db.execute(sql);
      return { ...row, data: [...row.data], big: String(row.big) };
    },
    script: async (c) => {
      const rows = await c.db.execute("INSERT INTO notes (text) VALUES ('a'); INSERT INTO notes (text) VALUES ('b');");
      return [rows, await c.db.execute("-- nothing"), await count(c.db)];
    },
    move: async (c, fail) => {
      await c.db.transaction(async (tx) => {
        await tx.execute("INSERT INTO notes (text) VALUES ('outer')");
        await tx
          .transaction(async (inner) => {
            await inner.execute("INSERT INTO notes (text) VALUES ('inner')");
            throw new Error("only the savepoint is undone");
          })
          .catch(() => {});
        if (fail) throw new Error("all is undone");
      });
    },
    stuck: (c) =>
      c.db
        .transaction(
          async (tx) => {
            await tx.execute("INSERT INTO notes (text) VALUES ('stuck')");
            await new Promise(() => {});
          },
          { timeout: 50 },
        )
        .catch(({ code }) => code),
    transactions: async (c, n) => {
      // Each reads and then writes: without isolation, increments would be lost.
      await c.db.execute("INSERT INTO notes (id, text) VALUES (1, '0')");
      const one = () =>
        c.db.transaction(async (tx) => {
          const [{ text }] = await tx.execute("SELECT text FROM notes WHERE id = 1");
          await tx.execute("UPDATE notes SET text = ? WHERE id = 1", String(Number(text) + 1));
        });
      await Promise.all(Array.from({ length: n }, one));
      return (await c.db.execute("SELECT text FROM notes"))[0].text;
    },
    duplicate: (c) =>
      c.db.execute("INSERT INTO notes (text) SELECT text FROM notes").catch(({ code, message }) => [code, message]),
    generation: (c) => c.db.pagewire.generation,
    fill: (c, n) => {
      const inserts = Array.from({ length: n }, (_, i) => c.db.execute("INSERT INTO notes (text) VALUES (?)", `n${i}`));
      report(c.actorId, inserts);
    },
    fillAndDestroy: async (c, n) => {
      const inserts = Array.from({ length: n }, (_, i) => c.db.execute("INSERT INTO notes (text) VALUES (?)", `n${i}`));
      report(c.actorId, inserts);
      await inserts[0];
      c.destroy();
    },
    // Reads until it is refused, whatever becomes of the actor.
    read: async (c) => {
      const { actorId: id, db } = c;
      try {
        for (let i = 0; ; i++) {
          await db.execute("SELECT 1");
          if (i === 0) tell({ event: "reading", id });
          await new Promise(setImmediate);
        }
      } catch (error) {
        tell({ event: "refused", id, code: error.code });
        throw error;
      }
    },
    // The same, while nobody waits for it.
    stray: (c) => {
      const { actorId: id, db } = c;
      const timer = setInterval(() => {
        db.execute("SELECT 1").catch(({ code }) => {
          clearInterval(timer);
          tell({ event: "refused", id, code });
        });
      }, 5);
    },
  },
});

const users = sqliteTable("users", {
  id: integer("id").primaryKey(),
  name: text("name").notNull().unique(),
  born: integer("born", { mode: "timestamp" }),
});
const ormDb = pagewire({
  url,
  token,
  drizzle: (...callbacks) => drizzle(...callbacks, { schema: { users } }),
  migrations: {
    journal: {
      entries: [
        { idx: 0, tag: "0000_users", when: 1700000000000 },
        { idx: 1, tag: "0001_born", when: 1700000001000 },
      ],
    },
    migrations: {
      m0000:
        "CREATE TABLE `users` (`id` integer PRIMARY KEY, `name` text NOT NULL);\n--> statement-breakpoint\nCREATE UNIQUE INDEX `users_name` ON `users` (`name`);",
      m0001: "ALTER TABLE `users` ADD `born` integer;",
    },
  },
});
const orm = actor({
  options,
  db: ormDb,
  ...ormDb.hooks,
  actions: {
    ...ending,
    add: (c, name, born) =>
      c.db
        .insert(users)
        .values({ name, born: new Date(born) })
        .returning({ id: users.id }),
    find: async (c, name) => {
      const found = await c.db.query.users.findFirst({ where: (user, { eq }) => eq(user.name, name) });
      return found && { ...found, born: found.born.getTime() };
    },
    names: async (c) => (await c.db.select({ name: users.name }).from(users)).map(({ name }) => name),
    twice: async (c, fail) => {
      await c.db.transaction(async (tx) => {
        await tx.insert(users).values({ name: "first" });
        await tx.insert(users).values({ name: fail ? "first" : "second" });
      });
    },
    batch: async (c) => {
      const [, rows] = await c.db.batch([
        c.db.insert(users).values({ name: "batched" }),
        c.db.select({ name: users.name }).from(users),
      ]);
      return rows.map(({ name }) => name);
    },
    applied: async (c) => (await c.db.execute("SELECT count(*) AS n FROM __drizzle_migrations"))[0].n,
  },
});

process.on("disconnect", () => process.exit());
setup({
  use: { notes, orm },
  ...JSON.parse(HOST_CONFIG ?? "{}"),
  logging: { level: process.env.HOST_LOG ?? "error" },
}).start();
tell({ event: "started" });
