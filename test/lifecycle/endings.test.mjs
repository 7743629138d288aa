// Programs end in every way amid their work: as Node itself would, without a crash or a hang.

import assert from "node:assert/strict";
import test from "node:test";
import { serve } from "../js/harness.mjs";
import { runModule } from "../support/child.mjs";
import { frames, startProxy } from "../support/proxy.mjs";

const token = "secret-of-this-test";
const s = serve({ token });

const opening = `
  import { connect } from "pagewire";
  const channel = globalThis.channel = await connect({ url: process.argv[1], token: "${token}" });
  const db = await channel.open(process.argv[2], { preload: 0 });`;

// What a program is doing when it ends. Its failure is of no interest: the end is.
const work = {
  "writes in flight": `
    const write = () => db.run("INSERT INTO t VALUES (randomblob(5000))").then(write, () => {});
    for (let i = 0; i < 20; i++) write();`,
  "a transaction under way": `
    db.transaction(async (tx) => { for (;;) await tx.run("INSERT INTO t VALUES (1)"); }).catch(() => {});`,
  "a long query": `
    db.all("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e12) SELECT count(*) FROM n")
      .catch(() => {});`,
  "a cold read that is not answered": `db.all("SELECT * FROM t").catch(() => {});`,
};

// How it ends: code that runs at once, or that prepares for a signal.
const endings = {
  "process.exit()": { now: `process.exit(7);` },
  "an uncaught exception": { now: `setImmediate(() => { throw new Error("the program's own"); });` },
  "an unhandled rejection": { now: `Promise.reject(new Error("the program's own"));` },
  SIGINT: { signal: "SIGINT" },
  SIGTERM: { signal: "SIGTERM" },
  "SIGTERM with a handler that exits": { before: `process.on("SIGTERM", () => process.exit(3));`, signal: "SIGTERM" },
  "SIGTERM with a handler that closes the channel": {
    before: `process.on("SIGTERM", async () => {
      await globalThis.channel?.close({ timeout: 300 }).catch(() => {});
      process.exit(0);
    });`,
    signal: "SIGTERM",
  },
};

/** Runs a program to its end amid some work, or without Pagewire if there is none, and tells how it ended. */
async function endAmid({ before = "", now = "", signal }, what, proxy, ...args) {
  const program = runModule(
    `import { createInterface } from "node:readline";
     const orders = createInterface(process.stdin)[Symbol.asyncIterator]();
     ${before}
     ${what === undefined ? "" : opening}
     console.log("open");
     await orders.next();
     ${work[what] ?? ""}
     console.log("busy");
     await orders.next();
     ${now}`,
    ...args,
  );
  await program.line("open");
  proxy?.hold();
  const asked = proxy?.next(frames.request);
  program.child.stdin.write("begin\n");
  await Promise.all([program.line("busy"), asked]);
  if (signal === undefined) program.child.stdin.write("end\n");
  else program.child.kill(signal);
  const { code, signal: killedBy, stderr } = await program.end;
  return { code, killedBy, itsOwnError: stderr.includes("the program's own"), stderr };
}

for (const [how, ending] of Object.entries(endings)) {
  test(`${how} ends a program amid its work as it ends any other (I3)`, async (t) => {
    const { stderr: _, ...expected } = await endAmid(ending);
    for (const what of Object.keys(work)) {
      const actor = `${how}, ${what}`;
      const prepared = await s.channel.open(actor);
      await prepared.exec("CREATE TABLE t (v); INSERT INTO t VALUES (randomblob(50000))");
      await prepared.close();
      const proxy = what.startsWith("a cold read") ? await startProxy(t, s.server.url) : undefined;
      const { stderr, ...actual } = await endAmid(ending, what, proxy, (proxy ?? s.server).url, actor);
      assert.deepEqual(actual, expected, `${what}: ${stderr}`);
      proxy?.close();
      const db = await s.channel.open(actor, { mode: "takeover" });
      assert.deepEqual(await db.get("PRAGMA integrity_check"), { integrity_check: "ok" }, what);
      await db.close();
    }
  });
}
