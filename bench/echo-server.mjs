// Answers `answer` bytes to every `request` bytes on a TCP connection. If the first of them is not 0, it writes them to a
// file and syncs that before, as any server must that answers for what it was sent. Run with fork(), the path of the file as
// its argument; sends { port }.

import { fdatasyncSync, openSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { answer, request } from "./adapters/echo.mjs";

// The file is as long as it gets, so that a sync has bytes to write and no new size.
const requests = 400;
const file = openSync(process.argv[2], "w");
writeSync(file, Buffer.alloc(requests * request));
fdatasyncSync(file);
let written = 0;

const server = createServer({ noDelay: true }, (socket) => {
  let chunks = [];
  let missing = request;
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    missing -= chunk.length;
    if (missing > 0) return; // the client waits for each answer, so no chunk holds two requests
    if (chunks[0][0] !== 0) {
      writeSync(file, Buffer.concat(chunks), 0, request, (written++ % requests) * request);
      fdatasyncSync(file);
    }
    socket.write(Buffer.alloc(answer));
    chunks = [];
    missing = request;
  });
  socket.on("error", () => {}); // the client is gone
});
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {}); // of the terminal, to the whole group: run.mjs ends this process
