// What the types of the installed package must allow and refuse, in a module of either kind.
import { type Channel, connect, type Database, PagewireError } from "pagewire";
import { type RunningServer, startServer } from "pagewire/server";

export async function main(): Promise<string> {
  const server: RunningServer = await startServer({ token: "t" });
  const channel: Channel = await connect({ url: server.url, token: server.token });
  const db: Database = await channel.open("a");
  await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
  const row = await db.get<{ id: number; v: string }>("SELECT * FROM t WHERE id = ?", [1]);
  const rows = await db.all<{ v: string }>("SELECT v FROM t");
  // @ts-expect-error: SQL is a string
  await db.run(1).catch((error: unknown) => error instanceof PagewireError && error.code);
  await channel.close();
  await server.stop();
  return row === undefined ? `none of ${rows.length}` : row.v;
}
