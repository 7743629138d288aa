// No database: a TCP connection to echo-server.mjs, to tell what Node.js, the network and the delay cost by themselves.

import { once } from "node:events";
import { connect } from "node:net";
import { addon } from "../compile.mjs";

/** Bytes each way: about those of a commit of five pages and of its answer. */
export const request = 20 << 10;
export const answer = 64;

/** Two Node.js processes, one thread each. With `synced` the server first has the request on disk. */
async function plain(port, synced) {
  const bytes = Buffer.alloc(request, synced ? 1 : 0);
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  return {
    /** Sends a request and waits for its answer. */
    exchange: () =>
      new Promise((resolve) => {
        socket.once("data", resolve);
        socket.write(bytes);
      }),
    close: () => socket.destroy(),
  };
}

/** The same through the threads of echo-threads.c, always synced. */
function threaded(port) {
  const { connect, send, close } = addon("echo-threads");
  let answered;
  connect(port, () => answered());
  return {
    exchange: () =>
      new Promise((resolve) => {
        answered = resolve;
        send();
      }),
    close,
  };
}

export default async function create({ service, variant }) {
  return {
    serverPid: service.pid,
    open: async (synced) => (variant === "threads" ? threaded(service.port) : plain(service.port, synced)),
  };
}
