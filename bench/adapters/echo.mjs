// No database: a TCP connection to echo-server.mjs, to tell what Node.js, the network and the delay cost by themselves.

import { once } from "node:events";
import { connect } from "node:net";

/** Bytes each way: about those of a commit of five pages and of its answer. */
export const request = 20 << 10;
export const answer = 64;

export default async function create({ service }) {
  const plain = Buffer.alloc(request);
  const synced = Buffer.alloc(request, 1);
  return {
    serverPid: service.pid,
    async open() {
      const socket = connect({ port: service.port, host: "127.0.0.1", noDelay: true });
      await once(socket, "connect");
      return {
        /** Sends a request and waits for its answer; with `sync` the server first has it on disk. */
        exchange: (sync) =>
          new Promise((resolve) => {
            socket.once("data", resolve);
            socket.write(sync ? synced : plain);
          }),
        close: () => socket.destroy(),
      };
    },
  };
}
