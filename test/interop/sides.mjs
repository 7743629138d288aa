// The two sides of these tests, which take turns at one actor's database: Pagewire ("here") and the peer ("there").

import assert from "node:assert/strict";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";
import { contentsOf } from "./contents.mjs";
import { databaseOf, listAll } from "./layout.mjs";
import { mapOf, openPeer, overChannel, overMap } from "./peer.mjs";

const token = "secret-of-the-interop-tests";

/** What the peer finds in entries. It works on a copy, without the channel, because it asks for every page by itself. */
export async function contentsThere(entries) {
  const db = await openPeer(overMap(mapOf(entries)));
  try {
    return await contentsOf(db);
  } finally {
    await db.close();
  }
}

/** A server for one file's tests and the two sides on it. */
export function sides() {
  const s = serve({ token });

  const withKv = async (actor, work) => {
    const kv = s.channel.kv(actor);
    const opened = await kv.open();
    try {
      return await work(kv, opened);
    } finally {
      await kv.close();
    }
  };

  const two = {
    /** Runs work on the actor's database as Pagewire opens it. */
    here: async (actor, work, options) => {
      const db = await s.channel.open(actor, options);
      try {
        return await work(db);
      } finally {
        await db.close();
      }
    },
    /** Runs work on the actor's database as the peer opens it, over the same channel. */
    there: (actor, work) =>
      withKv(actor, async (kv) => {
        const db = await openPeer(overChannel(s.channel, kv));
        try {
          return await work(db);
        } finally {
          await db.close();
        }
      }),
    /** Runs work on the actor's open key-value handle and what open() resolved to. */
    withKv,
    /** All entries of the actor. */
    stored: (actor) => withKv(actor, listAll),
    /** Stores entries, in the place of everything that is there. */
    restore: (actor, entries) =>
      withKv(actor, async (kv) => {
        await kv.deleteRange(new Uint8Array([0]), new Uint8Array([255]));
        await overChannel(s.channel, kv).putBatch(entries);
      }),
    /** A channel of its own, as another process has. */
    connect: () => connect({ url: s.server.url, token }),
    /** Checks the layout and that both sides read the same, which reading does not change; returns the contents. */
    agree: async (actor) => {
      const before = await two.stored(actor);
      databaseOf(before);
      const contents = await two.here(actor, contentsOf);
      assert.deepEqual(await two.stored(actor), before, "reading changed what is stored");
      assert.deepEqual(await contentsThere(before), contents);
      return contents;
    },
  };
  return two;
}
