// The key-value interface: one key at a time, awaited.

import * as data from "../data.mjs";
import { meter, timed } from "../meter.mjs";

const keys = 1000;
const encoder = new TextEncoder();
const keyOf = (n) => encoder.encode(`key-${n % keys}`);
const storedOf = (n) => encoder.encode(data.text(n, 100));
const same = (value, n) => value != null && Buffer.from(value).equals(storedOf(n));

const both = {
  unit: "us",
  latencies: [0, 10],
  only: ["pagewire", "rivetkit"],
};
const callsAt = (latencyMs) => (latencyMs === 0 ? 200 : 20);

export const kv = {
  "kv-put": {
    what: "one key of the key-value interface written, awaited",
    ...both,
    prepare: (system) => system.openKv("kv-put"),
    async round(system, store, round, { latencyMs }) {
      const n = callsAt(latencyMs);
      const first = round * n;
      const entries = Array.from({ length: n }, (_, i) => [keyOf(first + i), storedOf(first + i)]);
      await store.put(...entries[0]);
      const m = meter(system);
      const samples = await timed(n, (i) => store.put(...entries[i]));
      const result = m.stop(samples, { perOperation: n });
      for (let i = 0; i < n; i++)
        data.expect(same(await store.get(keyOf(first + i)), first + i), "another value than put");
      return result;
    },
  },

  "kv-get": {
    what: "one key of 1,000 of the key-value interface read, awaited",
    ...both,
    async prepare(system) {
      const store = await system.openKv("kv-get");
      for (let i = 0; i < keys; i++) await store.put(keyOf(i), storedOf(i));
      return store;
    },
    async round(system, store, round, { latencyMs }) {
      const n = callsAt(latencyMs);
      const ids = Array.from({ length: n }, (_, i) => ((round * n + i) * 7919) % keys);
      const sought = ids.map(keyOf);
      const values = [];
      await store.get(sought[0]);
      const m = meter(system);
      const samples = await timed(n, async (i) => void values.push(await store.get(sought[i])));
      const result = m.stop(samples, { perOperation: n });
      for (let i = 0; i < n; i++) data.expect(same(values[i], ids[i]), "another value than put");
      return result;
    },
  },
};
