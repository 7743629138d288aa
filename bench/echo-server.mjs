// Answers `answer` bytes to every `request` bytes on a TCP connection, and does nothing else. Run with fork(); sends { port }.

import { createServer } from "node:net";
import { answer, request } from "./adapters/echo.mjs";

const server = createServer({ noDelay: true }, (socket) => {
  let missing = request;
  socket.on("data", (chunk) => {
    for (missing -= chunk.length; missing <= 0; missing += request) socket.write(Buffer.alloc(answer));
  });
  socket.on("error", () => {}); // the client is gone
});
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {}); // of the terminal, to the whole group: run.mjs ends this process
