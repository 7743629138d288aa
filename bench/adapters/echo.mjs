// No database: a TCP connection to echo-server.mjs, to tell what Node.js, the network and the delay cost by themselves.

import { once } from "node:events";
import { connect } from "node:net";

/** Bytes each way: about those of a commit of five pages and of its answer. */
export const request = 20 << 10;
export const answer = 64;

export default async function create({ service }) {
  const sent = Buffer.alloc(request);
  return {
    serverPid: service.pid,
    async open() {
      const socket = connect({ port: service.port, host: "127.0.0.1", noDelay: true });
      await once(socket, "connect");
      return {
        exchange: () =>
          new Promise((resolve) => {
            socket.once("data", resolve);
            socket.write(sent);
          }),
        close: () => socket.destroy(),
      };
    },
  };
}
