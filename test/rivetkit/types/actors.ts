// What must compile against RivetKit's own types: the provider in both forms, its hooks, and c.db with its types.

import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { drizzle } from "drizzle-orm/sqlite-proxy";
import { pagewire } from "pagewire/rivetkit";
import { actor, setup } from "rivetkit";
import { actor as actor22 } from "rivetkit-2.2";

const raw = pagewire({ url: "ws://127.0.0.1:6420", onMigrate: (db) => db.execute("SELECT 1").then(() => {}) });

const notes = actor({
  db: raw,
  ...raw.hooks,
  state: { seen: 0 },
  actions: {
    add: async (c, note: string) => {
      const rows = await c.db.execute<{ id: number }>("INSERT INTO notes (text) VALUES (?) RETURNING id", note);
      c.state.seen++;
      await c.db.transaction(async (tx) => (await tx.execute("SELECT 1")).length, { timeout: 1000 });
      for await (const row of c.db.pagewire.iterate("SELECT 1")) void row;
      const id: number = rows[0]!.id;
      return id;
    },
  },
});

actor22({ db: raw, ...raw.hooks, actions: { all: (c) => c.db.execute("SELECT 1") } });

const users = sqliteTable("users", { id: integer("id").primaryKey(), name: text("name").notNull() });
const orm = pagewire({
  url: "ws://127.0.0.1:6420",
  drizzle: (...callbacks) => drizzle(...callbacks, { schema: { users } }),
  migrations: { journal: {}, migrations: {} },
});

const people = actor({
  db: orm,
  onWake: (c) => {
    orm.hooks.onWake(c);
  },
  actions: {
    names: async (c) => {
      const found = await c.db.select({ name: users.name }).from(users);
      const first = await c.db.query.users.findFirst();
      await c.db.transaction(async (tx) => {
        await tx.insert(users).values({ name: "x" });
        await tx.execute("SELECT 1");
      });
      const name: string | undefined = first?.name;
      const names: string[] = found.map((row) => row.name);
      return [name, ...names];
    },
  },
});

export const registry = setup({ use: { notes, people } });
