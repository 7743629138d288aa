// The chat over HTTP and WebSocket. Whatever process is asked, the room answers.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { forwarded, forwardRequest, forwardUpgrade } from "./forward.js";

const maxBody = 16 * 1024;
const path = /^\/rooms\/([a-z0-9-]{1,40})(?:\/(messages|owner))?$/;

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function checked(message, author = message?.author) {
  const { text, nonce } = message ?? {};
  for (const [name, value, max] of [
    ["author", author, 40],
    ["text", text, 4000],
    ["nonce", nonce, 64],
  ]) {
    const fits = typeof value === "string" && value.length > 0 && value.length <= max && value.isWellFormed();
    if (!fits) throw new Refused(400, `${name} is not text of 1 to ${max} characters`);
  }
  return { author, text, nonce };
}

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    throw new Refused(400, "this is not JSON");
  }
}

const afterOf = (url) => Number.parseInt(url.searchParams.get("after") ?? "0", 10) || 0;

async function bodyOf(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > maxBody) throw new Refused(413, `a message has at most ${maxBody} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function answer(res, status, value) {
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  res.writeHead(status, headers).end(JSON.stringify(value));
}

/** Where the room is, for a request: one that was forwarded is not forwarded again. */
async function place(rooms, name, req) {
  if (req.headers[forwarded] === undefined) return rooms.find(name);
  const room = await rooms.own(name);
  if (room === undefined) throw new Refused(421, `room ${name} is not here`);
  return { room };
}

export async function createChat(rooms) {
  const page = await readFile(new URL("page.html", import.meta.url));
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxBody });

  async function respond(req, res) {
    const url = new URL(req.url, "http://chat");
    if (url.pathname === "/" && req.method === "GET") {
      res.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
      return;
    }
    const [, name, part] = path.exec(url.pathname) ?? [];
    if (part === "owner") return answer(res, rooms.owns(name) ? 200 : 404, {});
    if (part !== "messages") throw new Refused(404, "there is /, /rooms/NAME/messages, and WebSockets at /rooms/NAME");
    if (req.method !== "GET" && req.method !== "POST") throw new Refused(405, "GET or POST");
    const body = await bodyOf(req);
    const { room, peer } = await place(rooms, name, req);
    if (peer !== undefined) return forwardRequest(peer, req, body, res);
    if (req.method === "GET") answer(res, 200, await room.since(afterOf(url)));
    else answer(res, 201, await room.post(checked(parsed(body.toString()))));
  }

  async function upgrade(req, socket, head) {
    const url = new URL(req.url, "http://chat");
    const [, name, part] = path.exec(url.pathname) ?? [];
    if (name === undefined || part !== undefined) throw new Refused(404, "there are WebSockets at /rooms/NAME");
    const { room, peer } = await place(rooms, name, req);
    if (peer !== undefined) return forwardUpgrade(peer, req, socket);
    sockets.handleUpgrade(req, socket, head, (ws) => enter(room, url, ws));
  }

  async function enter(room, url, ws) {
    const author = url.searchParams.get("author") ?? "";
    const member = {
      tell: (message) => ws.send(JSON.stringify({ message })),
      leave: ({ code, text }) => ws.close(code, text),
    };
    const failed = ({ code, status, message }) => {
      if (status !== undefined) ws.send(JSON.stringify({ error: message }));
      else ws.close(1011, code); // the sender does not know what became of it, and sends it again elsewhere
    };
    ws.on("message", (data) => {
      (async () => room.post(checked(parsed(data.toString()), author)))()
        .then(({ nonce }) => ws.send(JSON.stringify({ stored: nonce })))
        .catch(failed);
    });
    ws.on("error", () => {});
    ws.on("close", () => room.leave(member));
    try {
      await room.join(member, afterOf(url));
      if (ws.readyState !== ws.OPEN) room.leave(member);
    } catch (error) {
      failed(error);
    }
  }

  const http = createServer((req, res) => {
    respond(req, res).catch(({ status = 500, code, message }) => {
      if (!res.headersSent) answer(res, status, { code, message });
    });
  });
  http.on("upgrade", (req, socket, head) => {
    socket.on("error", () => {});
    upgrade(req, socket, head).catch(({ status = 500 }) => {
      socket.end(`HTTP/1.1 ${status} \r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    });
  });
  return http;
}
