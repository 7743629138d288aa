// Journals that @rivetkit/sqlite-vfs leaves behind when it is killed: a hot one is rolled back when Pagewire opens the
// database, one that is not hot means nothing (I3, I9).

import "../support/alive.mjs";
import assert from "node:assert/strict";
import test from "node:test";
import { contentsOf } from "./contents.mjs";
import { chunkKey, databaseOf, filesOf, imageOf, JOURNAL, MAIN, metaKey, metaValue } from "./layout.mjs";
import { entriesOf, openPeer, overChannel, overMap, watched } from "./peer.mjs";
import { contentsThere, sides } from "./sides.mjs";

const { here, there, agree, connect, stored, restore, withKv } = sides();
const magic = "d9d505f920a163d7";

const numbers = (from, to) => `WITH RECURSIVE c (n) AS (SELECT ${from} UNION ALL SELECT n + 1 FROM c WHERE n < ${to})`;
const setUp = `CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, note TEXT);
  CREATE INDEX by_note ON t (note, id);
  ${numbers(1, 150)} INSERT INTO t SELECT n, randomblob(1000 + n * 20), printf('note %.*c', n % 90, 'x') FROM c;`;

// A cache of ten pages spills in the middle of a transaction: the main file is then half written, and the journal has many
// parts. A transaction of more than 127 pages is journaled without that.
const transactions = {
  "changes that spill": `PRAGMA cache_size = 10; BEGIN;
    UPDATE t SET v = randomblob(length(v)), note = note || id WHERE id % 3 = 0;
    DELETE FROM t WHERE id BETWEEN 40 AND 60; COMMIT`,
  "a commit of many pages": "UPDATE t SET v = randomblob(length(v) + 500)",
  growth: `PRAGMA cache_size = 10; ${numbers(1000, 1040)} INSERT INTO t SELECT n, randomblob(6000), 'new ' || n FROM c`,
  "a vacuum that shrinks": "PRAGMA cache_size = 10; VACUUM",
};

/** What the journal among entries says: undefined without one, else whether SQLite takes it for hot. */
function hotness(entries) {
  const journal = filesOf(entries).get(JOURNAL);
  if (journal?.size === undefined) return undefined;
  return imageOf(journal).toString("hex", 0, 8) === magic;
}

const mainOf = (entries) => imageOf(filesOf(entries).get(MAIN));

const known = new Map();

/**
 * What a transaction goes through there: `before` and `contents` of the state before it, and `states`, the entries after
 * each of its writes, which a kill can leave. The first are those before, the last has a journal that is no longer hot.
 */
function historyOf(name) {
  if (!known.has(name)) known.set(name, record(name));
  return known.get(name);
}

async function record(name) {
  const map = new Map();
  const first = await openPeer(overMap(map));
  await first.exec(setUp);
  if (name === "a vacuum that shrinks") await first.exec("DELETE FROM t WHERE id % 4 <> 0");
  await first.close();
  const before = entriesOf(map);
  const states = [];
  const db = await openPeer(watched(overMap(map), async () => void states.push(new Map(map))));
  await db.exec(transactions[name]);
  states.push(new Map(map)); // not closed: that would tidy up
  return { before, contents: await contentsThere(before), states: states.map(entriesOf) };
}

// Some of the states, more of them where the commit happens.
function pick(states) {
  const stride = Math.ceil(states.length / 8);
  return states.filter((_, i) => i % stride === 0 || i >= states.length - 5);
}

for (const name of Object.keys(transactions)) {
  test(`killed at any write: ${name}`, async () => {
    const { before, contents, states } = await historyOf(name);
    const after = await contentsThere(states.at(-1));
    let hot = 0;
    let halfWritten = 0;
    let committed = false;
    for (const [i, state] of pick(states).entries()) {
      const actor = `${name} ${i}`;
      await restore(actor, state);
      const found = await here(actor, contentsOf, { preload: i % 2 === 0 ? undefined : 0 });
      if (hotness(state)) {
        hot++;
        if (!mainOf(state).equals(mainOf(before))) halfWritten++;
        assert.deepEqual(found, contents, `state ${i}: a hot journal is rolled back`);
        assert.equal(hotness(await stored(actor)), undefined, `state ${i}: the journal is gone after it`);
      }
      committed ||= mainOf(state).equals(mainOf(states.at(-1))) && !hotness(state);
      assert.deepEqual(found, committed ? after : contents, `state ${i}`);
      assert.deepEqual(found, await contentsThere(state), `state ${i}: the peer recovers the same`);
      assert.deepEqual(await contentsThere(await stored(actor)), found, `state ${i}: the peer reads what we stored`);
      await here(actor, (db) => db.exec("UPDATE t SET note = 'written here'"));
      databaseOf(await stored(actor), { untruncated: true }); // whatever the journal was, it is gone with the first commit
    }
    assert.ok(committed, "the last state is committed");
    assert.ok(hot >= 4, `only ${hot} states had a hot journal`);
    assert.ok(halfWritten >= 2, `only ${halfWritten} states had a main file half written`);
  });
}

// Runs the transaction there, over a connection of its own, which hangs for good at a write: nothing is tidied up.
async function killAt(actor, sql, write) {
  const channel = await connect();
  const kv = channel.kv(actor);
  await kv.open();
  let writes = 0;
  let armed = false;
  let killed;
  const dead = new Promise((resolve) => {
    killed = resolve;
  });
  const db = await openPeer(
    watched(overChannel(channel, kv), () => {
      if (!armed || ++writes < write) return;
      killed(true);
      return new Promise(() => {});
    }),
  );
  armed = true;
  const finished = db.exec(sql).then(() => false);
  assert.ok(await Promise.race([dead, finished]), `the transaction has fewer than ${write} writes`);
  return channel; // open still, as that of a process that hangs
}

test("killed over the channel, and taken over from", async () => {
  const name = "changes that spill";
  const { before, contents, states } = await historyOf(name);
  const writes = states.length - 1;
  for (const part of [0.3, 0.7, 1]) {
    const actor = `killed at ${part}`;
    await restore(actor, before);
    const dead = await killAt(actor, transactions[name], Math.floor(writes * part));
    const lost = new Promise((resolve) => dead.once("lockLost", resolve));
    assert.deepEqual(await here(actor, contentsOf, { mode: "takeover" }), contents);
    assert.equal((await lost).actor, actor);
    assert.deepEqual(await agree(actor), contents);
    await there(actor, (db) => db.exec("UPDATE t SET note = 'there'"));
    await here(actor, (db) => db.exec("INSERT INTO t (note) VALUES ('here')"));
    await agree(actor);
    await dead.close();
  }
});

test("a rollback restores every byte, in one commit (I3)", async () => {
  const { before, states } = await historyOf("changes that spill");
  const hot = states.filter(hotness).at(-1);
  await restore("again", hot);
  const commits = () => withKv("again", (_, { seq }) => seq);
  const seq = await commits();
  await here("again", (db) => db.get("SELECT count(*) FROM t"));
  const rolledBack = await stored("again");
  assert.ok(databaseOf(rolledBack).equals(mainOf(before)), "the main file is what it was, byte for byte");
  assert.equal(await commits(), seq + 1);
  await here("again", contentsOf);
  assert.deepEqual(await stored("again"), rolledBack);
  assert.equal(await commits(), seq + 1, "the second open found nothing to do");
});

// Journals that are not hot: SQLite leaves them like this with other journal modes, or when it is killed at their start.
const cold = {
  "an empty one": () => [[metaKey(JOURNAL), metaValue(0)]],
  "one whose header is zeroed": (journal) => {
    const image = imageOf(journal);
    image.fill(0, 0, 28);
    return journalOf(image);
  },
  "one of zeros": (journal) => journalOf(Buffer.alloc(journal.size)),
  "one with metadata only": (journal) => [[metaKey(JOURNAL), metaValue(journal.size)]],
  "one cut in its header": (journal) => journalOf(imageOf(journal).subarray(0, 20)),
  "chunks without metadata": (journal) => journalOf(imageOf(journal)).slice(1),
};

function journalOf(image) {
  const chunks = [];
  for (let at = 0; at < image.length; at += 4096) chunks.push(image.subarray(at, at + 4096));
  return [[metaKey(JOURNAL), metaValue(image.length)], ...chunks.map((chunk, i) => [chunkKey(JOURNAL, i), chunk])];
}

for (const [what, make] of Object.entries(cold)) {
  test(`a journal that is not hot: ${what}`, async () => {
    const { before, contents, states } = await historyOf("a commit of many pages");
    const hot = states.filter(hotness).at(-1);
    const actor = `cold: ${what}`;
    await restore(actor, before);
    await withKv(actor, async (kv) => {
      for (const [key, value] of make(filesOf(hot).get(JOURNAL))) await kv.put([[key, value]]);
    });
    assert.deepEqual(await here(actor, contentsOf), contents);
    // What is written from here on must not be undone by it, neither here nor there.
    await here(actor, (db) =>
      db.exec("UPDATE t SET note = 'after', v = zeroblob(length(v) + 3000); DELETE FROM t WHERE id > 100"),
    );
    const after = await here(actor, contentsOf);
    const written = await stored(actor);
    assert.deepEqual(await contentsThere(written), after);
    // The first commit drops it, unless there is no journal by its metadata, or no byte of one.
    const size = filesOf(make(filesOf(hot).get(JOURNAL))).get(JOURNAL).size;
    if (size > 0) databaseOf(written);
    await there(actor, (db) => db.exec("UPDATE t SET v = randomblob(3000)"));
    assert.deepEqual(await here(actor, contentsOf), await contentsThere(await stored(actor)));
  });
}
