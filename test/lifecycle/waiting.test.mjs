// Opens that wait for an actor, and are given up.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";

const s = serve({ token: "secret-of-this-test" });
test("an open in mode wait that was given up does not stand in the way of the next one", async (t) => {
  const other = await connect({ url: s.server.url, token: "secret-of-this-test" });
  t.after(() => other.close());
  for (let i = 0; i < 10; i++) {
    const holder = await s.channel.open("waited-for");
    const given = other.open("waited-for", { mode: "wait", waitMs: 60_000, timeout: 20 });
    await assert.rejects(given, { code: "timeout" });
    const waiting = other.open("waited-for", { mode: "wait", waitMs: 3_000 });
    await holder.close();
    await (await waiting).close();
  }
});
