// What an actor's life does to its database, the same on every version of RivetKit.

import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import "../../support/alive.mjs";
import { World } from "../harness.mjs";

export function suite(rivetkit) {
  const world = new World(rivetkit);
  before(() => world.start(), { timeout: 60_000 });
  after(() => world.stop(), { timeout: 60_000 });

  test("rows are made, read, changed and removed, and values are exact", async () => {
    const notes = world.actor("notes", "crud");
    assert.equal(await notes.add("one", "two", "to delete"), 3);
    assert.deepEqual(await notes.change("one", "uno"), [{ id: 1 }]);
    assert.deepEqual(await notes.all(), [
      { id: 1, text: "uno", data: null },
      { id: 2, text: "two", data: null },
    ]);
    assert.deepEqual(await notes.values([0, 255, 10]), {
      text: "nul \0 in it",
      data: [0, 255, 10],
      big: "9007199254740993",
      yes: 1,
      no: null,
    });
    assert.deepEqual(await notes.script(), [[], [], 5]);
    const [code, message] = await notes.duplicate();
    assert.equal(code, "SQLITE_CONSTRAINT_UNIQUE");
    assert.match(message, /notes\.text/);
  });

  test("transactions are isolated, nest, and are undone as a whole", async () => {
    const notes = world.actor("notes", "transactions");
    assert.equal(await notes.transactions(50), "50");
    await notes.move(false);
    assert.deepEqual(
      (await notes.all()).map(({ text }) => text),
      ["50", "outer"],
    );
    await assert.rejects(notes.move(true));
    assert.equal(await notes.count(), 2);
    assert.equal(await notes.stuck(), "timeout");
    assert.equal(await notes.count(), 2);
  });

  test("an actor migrates when it wakes, and a migration that fails leaves no trace", async () => {
    const notes = world.actor("notes", "migrations");
    const id = await notes.id();
    await notes.add("old");
    await notes.sleepNow();
    await world.host.heard("closed", id);
    await world.host.set({ schema: 2 });
    assert.deepEqual(await notes.all(), [{ id: 1, text: "old", data: null, stars: 5 }]);

    await world.host.set({ schema: 1 });

    const failing = world.actor("notes", "failing");
    const failed = await failing.id();
    await failing.add("old");
    await failing.sleepNow();
    await world.host.heard("closed", failed);
    await world.host.set({ schema: 2, failing: true });
    const waking = Promise.allSettled([failing.count()]);
    await world.host.heard("closed", failed, 2);
    await world.host.set({ schema: 1, failing: false });
    await waking; // 2.3 tries again, and the actor wakes; 2.2 does not
    await using channel = await world.connect();
    const database = await channel.open(failed, { mode: "takeover" });
    assert.deepEqual(await database.all("SELECT * FROM notes"), [{ id: 1, text: "old", data: null }]);
    assert.deepEqual(await database.get("PRAGMA user_version"), { user_version: 1 });
  });

  test("a sleeping actor's database is closed, and its next wake finds everything", async () => {
    const notes = world.actor("notes", "sleep");
    const id = await notes.id();
    await notes.add("before");
    const generation = await notes.generation();
    await notes.stray();
    await notes.sleepNow();
    await world.host.heard("closed", id);
    assert.equal((await world.host.heard("refused", id)).code, "closed");
    await using channel = await world.connect();
    const database = await channel.open(id, { mode: "fail" });
    assert.deepEqual(await database.all("SELECT text FROM notes"), [{ text: "before" }]);
    await database.close();
    assert.equal(await notes.count(), 1);
    assert.ok((await notes.generation()) > generation);
  });

  test("I2: what was acknowledged survives the death of its process", async () => {
    const notes = world.actor("notes", "crash");
    const id = await notes.id();
    await notes.fill(300);
    assert.equal((await world.host.heard("settled", id)).stored, 300);
    const calls = Array.from({ length: 50 }, (_, i) => notes.add(`call ${i}`));
    for (const call of calls) call.catch(() => {}); // they are tried again on the next host
    await calls[0];
    await world.host.kill();
    await world.startHost();
    const texts = new Set((await notes.all()).map(({ text }) => text));
    for (let i = 0; i < 300; i++) assert.ok(texts.has(`n${i}`));
    assert.ok(texts.has("call 0"));
    await Promise.allSettled(calls);
  });

  test("destroying an actor while 500 inserts run settles each of them and deletes its data", async () => {
    const notes = world.actor("notes", "destroyed");
    const id = await notes.id();
    await notes.fillAndDestroy(500);
    const { stored, codes } = await world.host.heard("settled", id);
    assert.ok(stored >= 1 && stored <= 500);
    assert.deepEqual(codes, stored === 500 ? [] : ["closed"]);
    await world.host.heard("closed", id);
    await using channel = await world.connect();
    const database = await channel.open(id, { mode: "fail" });
    assert.equal(database.openedSize, 0);
  });

  test("ten rapid cycles of create, insert and destroy", async () => {
    const ids = new Set();
    for (let i = 0; i < 10; i++) {
      const notes = world.actor("notes", `cycle ${i}`);
      const [count, id] = await Promise.all([notes.add("only"), notes.id()]);
      assert.equal(count, 1);
      ids.add(id);
      await notes.destroyNow();
    }
    assert.equal(ids.size, 10);
    await using channel = await world.connect();
    for (const id of ids) {
      await world.host.heard("closed", id);
      assert.equal((await channel.open(id)).openedSize, 0);
    }
  });

  test("I4: a connection that breaks between and during writes loses and repeats nothing", async () => {
    const notes = world.actor("notes", "disconnects");
    const id = await notes.id();
    for (let i = 0; i < 3; i++) {
      world.proxy.cut();
      assert.equal(await notes.add(`between ${i}`), i + 1);
    }
    let cuts = 0;
    const cutNow = ({ up }) => {
      if (up && cuts++ < 5) world.proxy.cut();
    };
    world.proxy.on("message", cutNow);
    await notes.fill(200);
    const { stored, codes } = await world.host.heard("settled", id);
    const added = await notes.add("last");
    world.proxy.off("message", cutNow);
    assert.deepEqual(codes, []);
    assert.equal(stored, 200);
    assert.ok(cuts >= 5, `the connection was broken ${cuts} times only`);
    assert.equal(added, 204);
  });

  test("I1: a lost lock stops the actor with the reason, and its next wake takes the database back", async () => {
    const notes = world.actor("notes", "lost");
    const id = await notes.id();
    await notes.add("kept");
    const reading = notes.read();
    reading.catch(() => {});
    await world.host.heard("reading", id);
    await using channel = await world.connect();
    const database = await channel.open(id, { mode: "takeover" });
    await assert.rejects(reading, { group: "pagewire", code: "lock_lost" });
    await world.host.heard("closed", id);
    await database.run("INSERT INTO notes (text) VALUES ('by the other')");
    assert.equal(await notes.count(), 2);
    await assert.rejects(database.get("SELECT 1"), { code: "lock_lost" });
  });

  test("Drizzle: queries, transactions, batches and migrations", async () => {
    const orm = world.actor("orm", "drizzle");
    assert.deepEqual(await orm.add("Ada", 1000), [{ id: 1 }]);
    assert.deepEqual(await orm.find("Ada"), { id: 1, name: "Ada", born: 1000 });
    assert.equal(await orm.find("nobody"), undefined);
    await assert.rejects(orm.twice(true));
    assert.deepEqual(await orm.names(), ["Ada"]);
    await orm.twice(false);
    assert.deepEqual(await orm.batch(), ["Ada", "batched", "first", "second"]);
    await orm.sleepNow();
    assert.equal(await orm.applied(), 2);
    assert.equal((await orm.names()).length, 4);
  });
}
