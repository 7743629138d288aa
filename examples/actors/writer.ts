// A child process that writes into several actors without end, and tells its parent of every row acknowledged to it.
// Its parent kills it.

import { connect } from "pagewire";
import type { Acknowledged, Assignment } from "./crash.js";

process.once("message", async ({ url, token, actors }: Assignment) => {
  const channel = await connect({ url, token });
  await Promise.all(
    actors.map(async (actor) => {
      const db = await channel.open(actor);
      await db.exec("CREATE TABLE visits (id INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT");
      for (let id = 1; ; id++) {
        await db.run("INSERT INTO visits (id, note) VALUES (?, ?)", [id, `visit ${id}`]);
        process.send!({ actor, id } satisfies Acknowledged);
      }
    }),
  );
});
process.once("disconnect", () => process.exit());
