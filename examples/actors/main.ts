// A database for every country of the world, questions to them, a crash, and what was left after it.
// Everything happens in a temporary directory and is gone at the end.

import { randomBytes } from "node:crypto";
import { connect } from "pagewire";
import { startServer } from "pagewire/server";
import { actorOf, citiesByCountry } from "./cities.js";
import { endChildren, verify, writeAndKill } from "./crash.js";
import { load } from "./load.js";
import { bytes, count, heading, line, table } from "./print.js";
import { query } from "./queries.js";

const rowsBeforeTheKill = 2000;

async function demo(url: string, token: string): Promise<void> {
  const countries = citiesByCountry();
  const cities = [...countries.values()].flat().length;

  heading(`Loading ${count(cities)} cities into ${countries.size} databases, one a country`);
  line("Each has a table, an index and a full-text index, made in one transaction. Data: GeoNames, CC BY 4.0.");
  const start = performance.now();
  {
    await using channel = await connect({ url, token });
    await load(channel, countries);
    const seconds = (performance.now() - start) / 1000;
    const { roundTrips, bytesSent } = channel.metricsSync().channel;
    line(`${seconds.toFixed(1)} s, ${count(roundTrips)} round trips, ${bytes(bytesSent)} sent.`);
  }

  heading("Asking, first with nothing in memory, then again");
  {
    await using channel = await connect({ url, token });
    await query(channel, countries.keys());
  }

  heading("Killing a process in the middle of writing");
  const written = ["JP", "BR", "FR", "VA"].map(actorOf);
  const last = await writeAndKill({ url, token, actors: written }, rowsBeforeTheKill);
  const acknowledged = Object.values(last).reduce((a, b) => a + b, 0);
  line(`A process wrote into ${written.length} databases, and was killed with SIGKILL when it had told of`);
  line(`${count(acknowledged)} rows acknowledged to it, while it wrote the next ones.`);

  heading("Opening all databases in another process");
  const actors = [...countries.keys()].map(actorOf);
  const found = await verify({ url, token, actors, written: last });
  const crashed = found.filter(({ actor }) => actor in last);
  table(
    ["database", ">acknowledged", ">of these found", ">found in all", "integrity_check"],
    crashed.map(({ actor, kept, rows, integrity }) => [
      actor,
      count(last[actor]!),
      count(kept),
      count(rows),
      integrity,
    ]),
  );
  const lost = written.filter((actor) => crashed.find((one) => one.actor === actor)?.kept !== last[actor]);
  const broken = found.filter(({ integrity }) => integrity !== "ok");
  if (lost.length > 0) throw new Error(`acknowledged rows are missing in: ${lost.join(", ")}`);
  if (broken.length > 0) throw new Error(`integrity_check fails in: ${broken.map(({ actor }) => actor).join(", ")}`);
  if (found.length !== actors.length) throw new Error(`${found.length} of ${actors.length} databases were checked`);
  line("");
  line(`Every acknowledged row is there, and integrity_check is ok in all ${found.length} databases.`);
  line("A row more than acknowledged was committed when the process died, before it heard so.");

  heading("Sizes");
  found.sort((a, b) => b.bytes - a.bytes);
  const shown = [...found.slice(0, 5), ...found.slice(-1)];
  table(
    ["database", ">size"],
    shown.map((one) => [one.actor, bytes(one.bytes)]),
  );
  line(`${found.length} databases, ${bytes(found.reduce((sum, one) => sum + one.bytes, 0))} in all`);
}

const begin = performance.now();
const token = randomBytes(16).toString("hex");
const server = await startServer({ token });
let ended: Promise<void> | undefined;
const end = () => {
  ended ??= endChildren().then(() => server.stop());
  return ended;
};
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => {
    console.log("\n  Interrupted: the server is stopped and its data removed.");
    void end().finally(() => process.exit(code));
  });
}
try {
  await demo(server.url, token);
} finally {
  await end();
}
heading(`Done in ${((performance.now() - begin) / 1000).toFixed(1)} s; server and data are gone.`);
