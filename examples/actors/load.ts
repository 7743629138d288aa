// One actor a country: a table, an index and a full-text index, all in one transaction, which is one round trip.

import type { Channel } from "pagewire";
import { actorOf, type City } from "./cities.js";
import { Progress } from "./print.js";

const schema = `
  CREATE TABLE cities (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, lat REAL NOT NULL, lng REAL NOT NULL, region TEXT NOT NULL
  ) STRICT;
  CREATE INDEX cities_by_latitude ON cities (lat);
  CREATE VIRTUAL TABLE names USING fts5 (name, content = 'cities', content_rowid = 'id');
`;
const rowsOfABatch = 1000;

async function loadCountry(channel: Channel, country: string, cities: City[], progress: Progress): Promise<void> {
  await using db = await channel.open(actorOf(country));
  await db.transaction(async (tx) => {
    await tx.exec(schema);
    for (let at = 0; at < cities.length; at += rowsOfABatch) {
      const rows = cities.slice(at, at + rowsOfABatch);
      await tx.batch(
        rows.map((city) => [
          "INSERT INTO cities (name, lat, lng, region) VALUES (?, ?, ?, ?)",
          [city.name, Number(city.lat), Number(city.lng), city.admin1],
        ]),
      );
      progress.add(rows.length);
    }
    await tx.run("INSERT INTO names (names) VALUES ('rebuild')");
  });
}

/** Runs the work for every item, so many at a time. Rejects with the first error, once none is under way any more. */
export async function each<T>(items: Iterable<T>, atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items].reverse();
  const worker = async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await work(item);
  };
  const ended = await Promise.allSettled(Array.from({ length: atOnce }, worker));
  for (const one of ended) if (one.status === "rejected") throw one.reason;
}

export async function load(channel: Channel, countries: Map<string, City[]>): Promise<void> {
  const progress = new Progress([...countries.values()].flat().length, "cities");
  try {
    await each(countries, 8, ([country, cities]) => loadCountry(channel, country, cities, progress));
  } finally {
    progress.end();
  }
}
