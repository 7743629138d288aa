// Hands a request, or a WebSocket, to the process that has the room.

import { request } from "node:http";

/** Says that a request was forwarded: it is answered here or not at all, so it cannot go round in circles. */
export const forwarded = "x-chat-forwarded";

function toPeer(peer, req) {
  return request(new URL(req.url, peer), { method: req.method, headers: { ...req.headers, [forwarded]: "1" } });
}

export function forwardRequest(peer, req, body, res) {
  const out = toPeer(peer, req);
  out.on("response", (answer) => {
    res.writeHead(answer.statusCode, answer.headers);
    answer.pipe(res);
  });
  out.on("error", (error) => {
    if (res.headersSent) res.destroy();
    else res.writeHead(502).end(`the process that has the room does not answer: ${error.message}`);
  });
  out.end(body);
}

export function forwardUpgrade(peer, req, socket) {
  const out = toPeer(peer, req);
  const give = (up) => socket.end(`HTTP/1.1 ${up} \r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  out.on("upgrade", (answer, far, head) => {
    const lines = [`HTTP/1.1 101 Switching Protocols`];
    for (let i = 0; i < answer.rawHeaders.length; i += 2) {
      lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
    }
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    if (head.length > 0) socket.write(head);
    for (const [from, to] of [
      [socket, far],
      [far, socket],
    ]) {
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  out.on("response", (answer) => give(`${answer.statusCode}`));
  out.on("error", () => give("502"));
  socket.on("error", () => out.destroy());
  out.end();
}
