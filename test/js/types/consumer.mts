// A program that imports Pagewire: it is only type-checked. types.test.mjs compiles it as it stands and,
// renamed to .cts, as CommonJS; lines under @ts-expect-error must not compile.

import {
  type Cell,
  type Channel,
  connect,
  type Database,
  PagewireError,
  type Params,
  type RunResult,
  type Transaction,
} from "pagewire";
import { startServer } from "pagewire/server";

interface User {
  id: number;
  name: string;
}

export async function main(signal: AbortSignal): Promise<void> {
  const server = await startServer({ token: "t" });
  const url: string = server.url;
  const channel: Channel = await connect({ url, token: server.token, namespace: "n", timeout: 100, signal });
  const db: Database = await channel.open("a", { mode: "wait", waitMs: 5, integers: "bigint", rowMode: "array" });

  const user: User | undefined = await db.get<User>("SELECT 1", [1, "x", null, 2n, true, new Uint8Array(1)]);
  const users: User[] = await db.all<User>("SELECT 1", { id: 1, $name: "x" }, { signal, timeout: 5 });
  const row: Record<string, Cell> | undefined = await db.get("SELECT 1");
  const result: RunResult<User> = await db.run<User>("SELECT 1");
  const rowid: number | bigint = result.lastInsertRowid;
  for await (const r of db.iterate<User>("SELECT 1")) r.name.slice();
  for (const r of db.iterateSync<User>("SELECT 1")) r.name.slice();
  const stmt = db.prepare<User>("SELECT 1");
  const one: User | undefined = stmt.getSync([1]);
  const n: number = await db.transaction(async (tx: Transaction) => (await tx.run("SELECT 1")).changes);
  await db.batch([["SELECT ?", [1]], ["SELECT $a", { a: 1 }], "SELECT 1"]);
  const params: Params = ["x"] as const;
  await db.query<User>("SELECT 1", params);

  channel.on("lockLost", ({ actor, code }) => actor.concat(code ?? ""));
  channel.once("reconnect", ({ attempt }) => attempt.toFixed());
  const misses: number = db.metrics().vfs.misses + (await channel.metrics()).channel.requests;
  const kv = channel.kv("b");
  const value: Uint8Array | undefined = await kv.get("k");
  const values: (Uint8Array | undefined)[] = await kv.get(["k", value ?? "l"]);

  // @ts-expect-error a Date cannot be bound
  await db.run("SELECT ?", [new Date()]);
  // @ts-expect-error there is no such mode
  await channel.open("a", { mode: "steal" });
  // @ts-expect-error a reconnect names no actor
  channel.on("reconnect", ({ actor }) => actor);
  // @ts-expect-error the inside of a database is not part of its interface
  db.core;
  // @ts-expect-error an error's code is not to be written
  new PagewireError("code", "message").code = "other";

  await db.close({ timeout: 5 });
  await channel.close();
  await server.stop();
  void [user, users, row, rowid, one, n, misses, values];
}
