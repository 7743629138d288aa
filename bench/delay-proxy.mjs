// A loopback TCP proxy in a process of its own that holds every byte for some milliseconds in each direction: a round trip
// takes twice as long more. Order is kept. Run with fork(); arguments: port of the server, milliseconds.
// Sends { port } when it listens, and ends when its parent disconnects.

import { connect, createServer } from "node:net";

const [port, delay] = process.argv.slice(2).map(Number);

/** Passes on what comes from one socket to the other, `delay` later. */
function pass(from, to) {
  const queue = []; // { due, chunk }; a chunk of undefined is the end
  let timer;
  const flush = () => {
    timer = undefined;
    const now = performance.now();
    while (queue.length > 0 && queue[0].due <= now) {
      const { chunk } = queue.shift();
      if (chunk === undefined) to.end();
      else if (to.writable) to.write(chunk);
    }
    wake();
  };
  // Timers count whole milliseconds, so the last part of one is waited for by turning the event loop.
  const wake = () => {
    if (queue.length === 0 || timer !== undefined) return;
    const left = queue[0].due - performance.now();
    timer = left > 1.5 ? setTimeout(flush, left - 1) : setImmediate(flush);
  };
  const push = (chunk) => {
    queue.push({ due: performance.now() + delay, chunk });
    wake();
  };
  from.on("data", push);
  from.on("end", () => push(undefined));
  from.on("error", () => to.destroy());
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const upstream = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  pass(client, upstream);
  pass(upstream, client);
});
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("disconnect", () => process.exit(0));
