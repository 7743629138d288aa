// Questions to one actor and to all of them, each asked twice: first with nothing in memory, then again.

import type { Channel, Database } from "pagewire";
import { actorOf } from "./cities.js";
import { milliseconds, table } from "./print.js";

interface Question {
  title: string;
  country: string;
  ask(db: Database): Promise<string>;
}

const questions: Question[] = [
  {
    title: "a city by its id, United States",
    country: "US",
    ask: async (db) => (await db.get<{ name: string }>("SELECT name FROM cities WHERE id = ?", [12345]))!.name,
  },
  {
    title: "northernmost cities, Norway (index)",
    country: "NO",
    ask: async (db) => names(await db.all<Named>("SELECT name FROM cities ORDER BY lat DESC LIMIT 3")),
  },
  {
    title: "cities named 'san ... del ...', Mexico (full text)",
    country: "MX",
    ask: async (db) => {
      const { n } = (await db.get<{ n: number }>("SELECT count(*) AS n FROM names WHERE names MATCH 'san* AND del'"))!;
      return `${n} cities`;
    },
  },
  {
    title: "region with most cities, Japan (scan)",
    country: "JP",
    ask: async (db) => {
      const sql = "SELECT region, count(*) AS n FROM cities GROUP BY region ORDER BY n DESC LIMIT 1";
      const { region, n } = (await db.get<{ region: string; n: number }>(sql))!;
      return `region ${region}, ${n} cities`;
    },
  },
];

interface Named {
  name: string;
}
const names = (rows: Named[]) => rows.map((row) => row.name).join(", ");

interface Timed<T> {
  result: T;
  took: string;
  trips: string;
}

async function timed<T>(channel: Channel, work: () => Promise<T>): Promise<Timed<T>> {
  const before = channel.metricsSync().channel.roundTrips;
  const start = performance.now();
  const result = await work();
  const took = performance.now() - start;
  return { result, took: milliseconds(took), trips: String(channel.metricsSync().channel.roundTrips - before) };
}

/** Asks every question, and one to all actors, which stay open on the channel. */
export async function query(channel: Channel, countries: Iterable<string>): Promise<void> {
  const rows: string[][] = [];
  const ask = async (title: string, work: () => Promise<string>) => {
    const cold = await timed(channel, work);
    const warm = await timed(channel, work);
    rows.push([title, cold.result, cold.took, cold.trips, warm.took, warm.trips]);
  };

  const dbs = new Map<string, Database>();
  for (const { title, country, ask: work } of questions) {
    const opened = await timed(channel, () => channel.open(actorOf(country)));
    rows.push([`open ${actorOf(country)}`, "", opened.took, opened.trips, "", ""]);
    dbs.set(country, opened.result);
    await ask(title, () => work(opened.result));
  }

  const rest = [...countries].filter((country) => !dbs.has(country));
  const opened = await timed(channel, async () => {
    await Promise.all(rest.map(async (country) => dbs.set(country, await channel.open(actorOf(country)))));
  });
  rows.push([`open the other ${rest.length} actors`, "", opened.took, opened.trips, "", ""]);
  await ask(`cities named Santa Cruz, all ${dbs.size} actors (full text)`, async () => {
    const sql = `SELECT count(*) AS n FROM names WHERE names MATCH '"santa cruz"'`;
    const found = await Promise.all([...dbs.values()].map(async (db) => (await db.get<{ n: number }>(sql))!.n));
    return `${found.reduce((a, b) => a + b)} cities in ${found.filter((n) => n > 0).length} countries`;
  });

  table(["question", "answer", ">first time", ">round trips", ">again", ">round trips"], rows);
}
