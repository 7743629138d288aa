// A real server for the tests of one file, and databases on it.

import "../support/alive.mjs";
import { after, before } from "node:test";
import { connect } from "pagewire";
import { startServer } from "pagewire/server";

/** Starts a server before the file's tests and stops it after them. */
export function serve(options = {}) {
  const running = { server: undefined, channel: undefined, actors: 0 };
  before(async () => {
    running.server = await startServer(options);
    running.channel = await connect({ url: running.server.url, token: options.token });
  });
  after(async () => {
    await running.channel?.close();
    await running.server?.stop();
  });
  /** A new actor's database, closed at the end of the test. */
  running.open = async (t, openOptions) => {
    const db = await running.channel.open(`actor-${++running.actors}`, openOptions);
    t.after(() => db.close());
    return db;
  };
  return running;
}
