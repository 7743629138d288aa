// WebSocket servers that misbehave, and a bare handshake: what no correct peer would send.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";

/** A frame of a server: not masked. Opcode 2 is a binary message, 1 text, 8 close, 9 ping. */
export function frame(payload, { opcode = 2, final = true } = {}) {
  const n = payload.length;
  const head = [(final ? 0x80 : 0) | opcode];
  if (n < 126) head.push(n);
  else if (n < 65536) head.push(126, n >> 8, n & 255);
  else head.push(127, 0, 0, 0, 0, (n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255);
  return Buffer.concat([Buffer.from(head), payload]);
}

/** A frame of the protocol as a message: its CRC-32C follows it. */
export function sealed(frame) {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32c(frame));
  return Buffer.concat([frame, sum]);
}

/** The CRC-32C of bytes. */
export function crc32c(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

/**
 * Starts a server that takes every WebSocket connection, answers the subprotocol it is told (null: none) and then calls
 * connected(socket). Ended with the test; returns its url.
 */
export async function startServerOf(t, { subprotocol = "pagewire.v1", status = 101, connected = () => {} }) {
  const sockets = new Set();
  const server = createServer((_, response) => response.writeHead(404).end());
  server.on("upgrade", (message, socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // the client hangs up as it likes
    if (status !== 101) {
      socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const key = message.headers["sec-websocket-key"];
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
    lines.push(`Sec-WebSocket-Accept: ${accept}`);
    if (subprotocol !== null) lines.push(`Sec-WebSocket-Protocol: ${subprotocol}`);
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    connected(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `ws://127.0.0.1:${server.address().port}`;
}

/** Asks a server for a WebSocket, and returns the status and the body of its answer, or the subprotocol it chose. */
export async function handshake(url, path, headers) {
  const asked = request(new URL(path, url.replace("ws:", "http:")), {
    headers: {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": Buffer.alloc(16).toString("base64"),
      ...headers,
    },
  });
  asked.end();
  const answered = once(asked, "response").then(async ([response]) => {
    let body = "";
    for await (const chunk of response) body += chunk;
    return { status: response.statusCode, body };
  });
  const upgraded = once(asked, "upgrade").then(([response, socket]) => {
    socket.destroy();
    return { status: response.statusCode, subprotocol: response.headers["sec-websocket-protocol"] };
  });
  return Promise.race([answered, upgraded]);
}
