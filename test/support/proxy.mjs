// A TCP proxy between a channel and its server: it counts WebSocket messages, and delays, holds, breaks or refuses on
// command. It runs in the process of the test, so what it is told takes effect at once.

import { EventEmitter, once } from "node:events";
import { connect, createServer } from "node:net";

/** Frame types of the protocol (internal/protocol/protocol.go). */
export const frames = { request: 1, stage: 2, pong: 3, welcome: 4, response: 5, ping: 6, lockLost: 7, drain: 8 };

/**
 * Starts a proxy in front of the server at url, ended with the test. Emits "message" {up, type, bytes} for each WebSocket
 * message that comes in, before it goes on, and "end" when a connection is over on both sides.
 */
export async function startProxy(t, url) {
  const proxy = new TcpProxy(Number(new URL(url).port));
  t.after(() => proxy.close());
  await proxy.listen();
  return proxy;
}

class TcpProxy extends EventEmitter {
  /** Connections that stand. */
  links = new Set();
  /** Messages seen so far, by frame type. */
  counts = {};
  #target;
  #server;
  #held = false;
  #waiting = [];
  #refusing = false;

  constructor(target) {
    super();
    this.#target = target;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `ws://127.0.0.1:${this.#server.address().port}`;
  }

  close() {
    this.cut();
    this.#server.close();
  }

  /** Keeps what the server sends from here on, until release(). */
  hold() {
    this.#held = true;
  }

  release() {
    this.#held = false;
    for (const send of this.#waiting.splice(0)) send();
  }

  /** Breaks all connections. What was held is lost. */
  cut() {
    this.#held = false;
    this.#waiting = [];
    for (const [client, server] of this.links) {
      client.destroy();
      server.destroy();
    }
  }

  /** Breaks all connections, and every new one until accept() at once. */
  refuse() {
    this.#refusing = true;
    this.cut();
  }

  accept() {
    this.#refusing = false;
  }

  /** The next message of a type. */
  async next(type) {
    for (;;) {
      const [message] = await once(this, "message");
      if (message.type === type) return message;
    }
  }

  #accept(client) {
    if (this.#refusing) {
      client.destroy();
      return;
    }
    const server = connect({ port: this.#target, host: "127.0.0.1", noDelay: true });
    const link = [client, server];
    this.links.add(link);
    let open = 2;
    for (const [from, to, up] of [
      [client, server, true],
      [server, client, false],
    ]) {
      const messages = messageReader((type, bytes) => {
        this.counts[type] = (this.counts[type] ?? 0) + 1;
        this.emit("message", { up, type, bytes });
      });
      from.on("data", (chunk) => {
        messages(chunk);
        const send = () => to.writable && to.write(chunk);
        if (this.#held && !up) this.#waiting.push(send);
        else send();
      });
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        to.destroy();
        if (--open > 0) return;
        this.links.delete(link);
        this.emit("end");
      });
    }
  }
}

/** Reads one direction of a WebSocket connection: tells the frame type and the size of each binary message. */
function messageReader(tell) {
  let buffer = Buffer.alloc(0);
  let upgraded = false;
  let skip = 0; // bytes of a payload that need not be looked at
  let message; // a message of several fragments
  return (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    if (!upgraded) {
      const end = buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      upgraded = true;
      buffer = buffer.subarray(end + 4);
    }
    for (;;) {
      const skipped = Math.min(skip, buffer.length);
      skip -= skipped;
      buffer = buffer.subarray(skipped);
      const header = readHeader(buffer);
      if (skip > 0 || header === undefined) return;
      const { final, opcode, start, length, type } = header;
      if (opcode === 2) message = { type, bytes: length };
      else if (opcode === 0) message.bytes += length;
      if (final && opcode <= 2) tell(message.type, message.bytes);
      buffer = buffer.subarray(start);
      skip = length;
    }
  };
}

// A frame's header, once that and the first bytes of its payload are there. A message is a CBOR map whose first key is 0,
// the frame type: three bytes, unmasked with the client's mask.
function readHeader(buffer) {
  if (buffer.length < 2) return undefined;
  let length = buffer[1] & 0x7f;
  let at = 2;
  if (length === 126) at = 4;
  if (length === 127) at = 10;
  const masked = (buffer[1] & 0x80) !== 0;
  const start = at + (masked ? 4 : 0);
  if (buffer.length < start) return undefined;
  if (length === 126) length = buffer.readUInt16BE(2);
  if (length === 127) length = Number(buffer.readBigUInt64BE(2));
  if (buffer.length < start + Math.min(3, length)) return undefined;
  const opcode = buffer[0] & 0x0f;
  const type = length < 3 ? undefined : buffer[start + 2] ^ (masked ? buffer[at + 2] : 0);
  return { final: (buffer[0] & 0x80) !== 0, opcode, start, length, type };
}
