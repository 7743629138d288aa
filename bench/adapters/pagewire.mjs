// Pagewire, as this repository builds it, against a `pagewire serve` on Pebble that syncs every commit.

import { connect } from "../../dist/esm/index.mjs";

export default async function create({ service, variant: options }) {
  const channel = await connect({ url: service.url });
  return {
    serverPid: service.pid,
    counters: () => {
      const { channel: wire, vfs } = channel.metricsSync();
      return {
        roundTrips: wire.roundTrips,
        bytes: wire.bytesSent + wire.bytesReceived,
        prefetched: vfs.prefetched,
        wasted: vfs.wasted,
      };
    },
    open: (name) => channel.open(name, options),
    async openKv(name) {
      const kv = channel.kv(name);
      await kv.open();
      return { get: (key) => kv.get(key), put: (key, value) => kv.put([[key, value]]) };
    },
    remove: async () => {}, // the server has no such request; its directory is removed at the end
  };
}
