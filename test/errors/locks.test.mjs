// Two writers of one actor: one of them is refused, waits or is evicted, and is told so.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";
import { frames, startProxy } from "../support/proxy.mjs";

const token = "secret-of-this-test";
const s = serve({ token });
const lost = { name: "PagewireError", code: "lock_lost" };

async function rival(t) {
  const channel = await connect({ url: s.server.url, token });
  t.after(() => channel.close().catch(() => {}));
  return channel;
}

async function table(t) {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v); INSERT INTO t VALUES ('first')");
  return db;
}

test("fail refuses while another holds the actor, also on the same channel", async (t) => {
  const db = await table(t);
  const other = await rival(t);
  const locked = { name: "PagewireError", code: "actor_locked" };
  await assert.rejects(other.open(db.actor), locked);
  await assert.rejects(s.channel.open(db.actor), locked);
  assert.throws(() => other.openSync(db.actor, { mode: "fail" }), locked);
  await assert.rejects(other.kv(db.actor).open(), locked);
  await db.run("INSERT INTO t VALUES ('second')");
  await db.close();
  const next = await other.open(db.actor);
  assert.deepEqual(await next.get("SELECT count(*) AS n FROM t"), { n: 2 });
});

test("wait gets the actor after the holder's close, with all that it acknowledged (I2)", async (t) => {
  const db = await table(t);
  const other = await rival(t);
  const waiting = other.open(db.actor, { mode: "wait", waitMs: 30_000 });
  await Promise.all(Array.from({ length: 10 }, (_, i) => db.run("INSERT INTO t VALUES (?)", [i])));
  await db.close();
  const next = await waiting;
  assert.ok(next.generation > db.generation);
  assert.deepEqual(await next.get("SELECT count(*) AS n FROM t"), { n: 11 });
  await assert.rejects(s.channel.open(db.actor, { mode: "wait", waitMs: 20 }), { code: "actor_locked" });
});

// What the old holder is doing when it is evicted.
const work = {
  nothing: () => [],
  "writes in flight": (db) => Array.from({ length: 30 }, (_, i) => db.run("INSERT INTO t VALUES (?)", [i])),
  "a transaction": (db) => [
    db.transaction(async (tx) => {
      for (;;) await tx.run("INSERT INTO t VALUES ('of a transaction')");
    }),
  ],
};

for (const [what, begin] of Object.entries(work)) {
  test(`takeover amid ${what} evicts the holder, which is told and refused from then on (I1)`, async (t) => {
    const holder = await rival(t);
    const db = await holder.open(`evicted amid ${what}`);
    await db.exec("CREATE TABLE t (v)");
    const told = once(holder, "lockLost");
    const other = await rival(t);
    const calls = Promise.allSettled(begin(db));
    const taken = await other.open(db.actor, { mode: "takeover" });
    const { n: before } = await taken.get("SELECT count(*) AS n FROM t");
    const [event] = await told;
    assert.equal(event.actor, db.actor);
    const ended = await calls;
    const acknowledged = ended.filter(({ status }) => status === "fulfilled").length;
    for (const { reason } of ended) if (reason) assert.equal(reason.code, "lock_lost", reason.message);
    assert.ok(before >= acknowledged, `${before} rows of ${acknowledged} acknowledged ones`);
    await assert.rejects(db.run("INSERT INTO t VALUES ('late')"), lost);
    await assert.rejects(db.get("SELECT 1"), lost);
    await assert.rejects(
      db.transaction((tx) => tx.run("INSERT INTO t VALUES ('late')")),
      lost,
    );
    assert.throws(() => db.allSync("SELECT * FROM t"), lost);
    await taken.run("INSERT INTO t VALUES ('mine')");
    assert.deepEqual(await taken.get("SELECT count(*) AS n FROM t"), { n: before + 1 });
    await db.close().catch((error) => assert.equal(error.code, "lock_lost"));
    // The evicted one may come back, by taking over in turn.
    const back = await holder.open(db.actor, { mode: "takeover" });
    assert.deepEqual(await back.get("SELECT count(*) AS n FROM t"), { n: before + 1 });
    await assert.rejects(taken.run("INSERT INTO t VALUES ('late')"), lost);
  });
}

test("a takeover while the holder's connection is broken is learned of when it stands again (I1, I4)", async (t) => {
  const proxy = await startProxy(t, s.server.url);
  const holder = await connect({ url: proxy.url, token, backoff: { min: 5, max: 20 } });
  t.after(() => holder.close().catch(() => {}));
  const db = await holder.open("evicted while away");
  await db.exec("CREATE TABLE t (v)");
  proxy.hold();
  const asked = proxy.next(frames.request);
  const indeterminate = db.run("INSERT INTO t VALUES ('sent, not answered')").then(
    () => "done",
    (error) => error.code,
  );
  await asked;
  const disconnected = once(holder, "disconnect");
  proxy.refuse();
  await disconnected;
  const taken = await (await rival(t)).open(db.actor, { mode: "takeover" });
  const told = once(holder, "lockLost");
  proxy.accept();
  await told;
  assert.match(await indeterminate, /^(lock_lost|commit_indeterminate)$/);
  await assert.rejects(db.run("INSERT INTO t VALUES ('late')"), lost);
  const { n } = await taken.get("SELECT count(*) AS n FROM t");
  assert.ok(n <= 1, "a row was written twice");
});
