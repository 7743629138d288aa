// The provider for RivetKit, called as RivetKit calls it. With RivetKit itself: test/rivetkit.

import assert from "node:assert/strict";
import test from "node:test";
import "../support/alive.mjs";
import { pagewire } from "pagewire/rivetkit";
import { startServer } from "pagewire/server";

async function start(t, options = {}, args = []) {
  const server = await startServer({ token: "secret", args });
  const providers = [];
  t.after(async () => {
    for (const provider of providers) await provider.close();
    await server.stop();
  });
  const another = () => {
    providers.push(pagewire({ url: server.url, token: "secret", ...options }));
    return providers.at(-1);
  };
  return { provider: another(), another };
}

test("an option that does not exist is refused before any actor starts", () => {
  const url = "ws://127.0.0.1:1";
  assert.throws(() => pagewire({ url, onMigrte: () => {} }), {
    name: "TypeError",
    message: /^pagewire: there is no option "onMigrte"; there are drizzle, migrations, onMigrate, /,
  });
});

test("a server's limit of actors a connection is no limit of the provider", async (t) => {
  const { provider } = await start(t, {}, ["--max-connection-actors", "2"]);
  const ids = Array.from({ length: 7 }, (_, i) => `actor-${i}`);
  const clients = await Promise.all(ids.map((actorId) => provider.createClient({ actorId })));
  for (const client of clients) assert.deepEqual(await client.execute("SELECT 1 AS one"), [{ one: 1 }]);
  const channels = () => new Set(clients.map((client) => client.pagewire.channel)).size;
  assert.equal(channels(), 4);
  await clients[0].close();
  clients[0] = await provider.createClient({ actorId: "another" });
  assert.equal(channels(), 4);
});

test("a server that cannot be reached fails the start of an actor, and is tried again for the next one", async (t) => {
  const server = await startServer();
  const { url } = server;
  await server.stop();
  const provider = pagewire({ url, connectTimeout: 500 });
  await assert.rejects(provider.createClient({ actorId: "a" }), { code: "unreachable" });
  const again = await startServer({ port: Number(new URL(url).port) });
  t.after(async () => {
    await provider.close();
    await again.stop();
  });
  const client = await provider.createClient({ actorId: "a" });
  assert.deepEqual(await client.execute("SELECT 1 AS one"), [{ one: 1 }]);
});

test("parameters by position and by name; scripts; transactions inside transactions", async (t) => {
  const { provider } = await start(t);
  const db = await provider.createClient({ actorId: "a" });
  await db.execute("CREATE TABLE t (a, b); CREATE TABLE u (a)");
  await db.execute("INSERT INTO t VALUES (?, ?)", 1, new Uint8Array([2]));
  await db.execute("INSERT INTO t VALUES ($a, :b)", { a: "x", b: null });
  assert.deepEqual(await db.execute("SELECT * FROM t"), [
    { a: 1, b: new Uint8Array([2]) },
    { a: "x", b: null },
  ]);
  assert.deepEqual(await db.execute("  "), []);
  await assert.rejects(db.execute("SELECT 1; SELECT ?", 1), { code: "multiple_statements" });
  await assert.rejects(db.execute("SELECT ?", undefined), /parameter 1: undefined cannot be bound/);
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.execute("INSERT INTO u VALUES (1)");
      await db.execute("SELECT 1");
    }),
    { code: "transaction_deadlock" },
  );
  assert.deepEqual(await db.execute("SELECT * FROM u"), []);
  await assert.rejects(
    db.transaction(() => {}, { timeout: -1 }),
    /timeout: -1 is not/,
  );
  await assert.rejects(
    db.transaction(() => {}, { experimental: { includeState: true } }),
    { code: "unsupported" },
  );
});

test("a transaction whose time is up is rolled back, and its late calls are refused", async (t) => {
  const { provider } = await start(t);
  const db = await provider.createClient({ actorId: "a" });
  await db.execute("CREATE TABLE t (a)");
  let late;
  const expired = db.transaction(
    async (tx) => {
      await tx.execute("INSERT INTO t VALUES (1)");
      await new Promise((resolve) => {
        late = { tx, resolve };
      });
    },
    { timeout: 30 },
  );
  await assert.rejects(expired, { code: "timeout", message: /after 30 ms/ });
  await assert.rejects(late.tx.execute("INSERT INTO t VALUES (2)"), { code: "transaction_closed" });
  late.resolve();
  assert.deepEqual(await db.execute("SELECT * FROM t"), []);
});

test("I1: who lost the lock is told why by every call, sleeps once, and deletes nothing", async (t) => {
  const { provider, another } = await start(t);
  const first = await provider.createClient({ actorId: "a" });
  await first.execute("CREATE TABLE t (a)");
  let slept = 0;
  const warned = [];
  const asleep = new Promise((resolve) => {
    const sleep = () => {
      slept++;
      resolve();
    };
    provider.hooks.onWake({ db: first, sleep, log: { warn: (details) => warned.push(details) } });
  });
  provider.hooks.onDestroy({ db: first });
  const second = await another().createClient({ actorId: "a" });
  await asleep;
  const lost = { code: "lock_lost", group: "pagewire", public: true };
  await assert.rejects(first.execute("SELECT 1"), lost);
  await assert.rejects(
    first.transaction(() => {}),
    lost,
  );
  await first.close();
  assert.equal(slept, 1);
  assert.equal(warned.length, 1);
  assert.equal(warned[0].code, "lock_lost");
  assert.deepEqual(await second.execute("SELECT * FROM t"), []);
});

test("a token that is refused from now on stops the actor with that reason", async () => {
  const first = await startServer({ token: "old" });
  const provider = pagewire({ url: first.url, token: "old", backoff: { min: 10, max: 50 } });
  const client = await provider.createClient({ actorId: "a" });
  const asleep = new Promise((sleep) => provider.hooks.onWake({ db: client, sleep }));
  await first.stop();
  const second = await startServer({ token: "new", port: Number(new URL(first.url).port) });
  try {
    await asleep;
    await assert.rejects(client.execute("SELECT 1"), { code: "unauthorized", group: "pagewire" });
    await client.close();
    await assert.rejects(provider.createClient({ actorId: "b" }), { code: "unauthorized" });
  } finally {
    await provider.close();
    await second.stop();
  }
});

test("the data of a destroyed actor are gone when it is closed, those of others stay", async (t) => {
  const { provider } = await start(t);
  for (const actorId of ["ends", "sleeps"]) {
    const client = await provider.createClient({ actorId });
    await client.execute("CREATE TABLE t (a)");
    if (actorId === "ends") provider.hooks.onDestroy({ db: client });
    await client.close();
    await client.close();
    await assert.rejects(client.execute("SELECT 1"), { code: "closed" });
  }
  const tables = async (actorId) =>
    (await provider.createClient({ actorId })).execute("SELECT name FROM sqlite_schema");
  assert.deepEqual(await tables("ends"), []);
  assert.deepEqual(await tables("sleeps"), [{ name: "t" }]);
});

test("a migration of Drizzle that is missing or fails changes nothing", async (t) => {
  const { provider } = await start(t, {
    drizzle: (callback) => ({ callback }),
    migrations: {
      journal: {
        entries: [
          { idx: 0, tag: "first", when: 1 },
          { idx: 1, tag: "second", when: 2 },
        ],
      },
      migrations: { m0000: "CREATE TABLE t (a)" },
    },
  });
  const client = await provider.createClient({ actorId: "a" });
  await assert.rejects(provider.onMigrate(client), /migrations has no m0001, which the journal calls "second"/);
  assert.deepEqual(await client.execute("SELECT name FROM sqlite_schema"), []);
  assert.deepEqual(await client.callback("SELECT 1, 'x'", [], "get"), { rows: [1, "x"] });
  assert.deepEqual(await client.callback("SELECT 1 WHERE false", [], "get"), { rows: undefined });
});
