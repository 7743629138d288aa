// A child process that opens the actors after the crash, looks for the rows that were acknowledged, and checks every
// database as a whole.

import { connect } from "pagewire";
import type { Found, Verification } from "./crash.js";
import { each } from "./load.js";

process.once("message", async ({ url, token, actors, written }: Verification) => {
  const channel = await connect({ url, token });
  await each(actors, 8, async (actor) => {
    await using db = await channel.open(actor, { mode: "wait", waitMs: 10_000 });
    const acknowledged = written[actor];
    let visits = { kept: 0, rows: 0 };
    if (acknowledged !== undefined) {
      const sql =
        "SELECT count(*) FILTER (WHERE id <= ? AND note = 'visit ' || id) AS kept, count(*) AS rows FROM visits";
      visits = (await db.get<typeof visits>(sql, [acknowledged]))!;
    }
    const { integrity_check } = (await db.get<{ integrity_check: string }>("PRAGMA integrity_check"))!;
    const { page_count } = (await db.get<{ page_count: number }>("PRAGMA page_count"))!;
    process.send!({ actor, ...visits, integrity: integrity_check, bytes: page_count * 4096 } satisfies Found);
  });
  await channel.close();
  process.disconnect();
});
