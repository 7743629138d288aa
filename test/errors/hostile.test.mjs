// A connection that turns to garbage amid work: the client drops it, reconnects, and loses nothing.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, connect as dial } from "node:net";
import test from "node:test";
import { connect } from "pagewire";
import { serve } from "../js/harness.mjs";
import { frame, sealed } from "../support/websocket.mjs";

const token = "secret-of-this-test";
const s = serve({ token });

// A proxy that can speak in the server's place: say(bytes) goes to the client, between two of the server's frames.
async function impostor() {
  const clients = new Set();
  const server = createServer((client) => {
    const upstream = dial(Number(new URL(s.server.url).port), "127.0.0.1");
    clients.add(client);
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      one.on("error", () => {});
      one.on("close", () => {
        clients.delete(client);
        other.destroy();
      });
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const end = () => {
    for (const client of clients) client.destroy();
    server.close();
  };
  const say = (bytes) => {
    for (const client of clients) client.write(bytes);
  };
  return { url: `ws://127.0.0.1:${server.address().port}`, say, end };
}

const hex = (text) => Buffer.from(text.replaceAll(" ", ""), "hex");

const garbage = {
  "random bytes": frame(hex("fffefdfc00112233")),
  "an empty message": frame(Buffer.alloc(0)),
  "a ping with a bit turned": frame(Buffer.concat([hex("a2 00 06 01 05"), sealed(hex("a2 00 06 01 04")).subarray(-4)])),
  text: frame(Buffer.from("hello"), { opcode: 1 }),
  "a map that ends early": frame(sealed(hex("a3 00 05 01"))),
  "bytes after a frame": frame(sealed(hex("a2 00 06 01 01 ff"))),
  "a second welcome": frame(sealed(hex("a2 00 04 01 01"))),
  "a frame type of a client": frame(sealed(hex("a2 00 01 01 01"))),
  "a string of 2^60 bytes": frame(sealed(hex("a3 00 05 01 01 02 5b 1000000000000000"))),
  "deeply nested arrays": frame(sealed(Buffer.alloc(60_000, 0x81))),
  "an indefinite map": frame(sealed(hex("bf 00 05 01 01 ff"))),
  "a frame longer than the limit": hex("82 7f 00000fffffffffff"),
  "reserved bits": hex("f2 03 a00000"),
  "a control frame that is too long": Buffer.concat([hex("89 7e 0400"), Buffer.alloc(1024)]),
  "a close with a code that does not exist": frame(hex("0001"), { opcode: 8 }),
};

for (const [what, bytes] of Object.entries(garbage)) {
  test(`${what} amid work breaks the connection and nothing else (I4, I9)`, async (t) => {
    const between = await impostor();
    const channel = await connect({ url: between.url, token, backoff: { min: 5, max: 20 } });
    t.after(() => channel.close().finally(between.end));
    const db = await channel.open(`amid ${what}`);
    await db.exec("CREATE TABLE t (v UNIQUE)");
    const back = once(channel, "reconnect");
    const writes = [];
    for (let i = 0; i < 20; i++) {
      writes.push(db.run("INSERT INTO t VALUES (?)", [i]));
      if (i === 10) between.say(bytes);
    }
    await back;
    await Promise.all(writes);
    assert.deepEqual(await db.get("SELECT count(*) AS n FROM t"), { n: 20 });
    assert.deepEqual(await db.get("PRAGMA integrity_check"), { integrity_check: "ok" });
    await db.close();
  });
}

test("what a correct server may send is taken in stride: unknown fields, answers nobody waits for", async (t) => {
  const between = await impostor();
  const channel = await connect({ url: between.url, token });
  t.after(() => channel.close().finally(between.end));
  const db = await channel.open("in-stride");
  channel.on("disconnect", ({ message }) => assert.fail(message));
  await db.exec("CREATE TABLE t (v)");
  between.say(frame(sealed(hex("a3 00 06 01 07 18 63 f5")))); // a ping with an unknown key
  between.say(frame(sealed(hex("a2 00 07 01 61 78")), {})); // lock_lost of an actor that is not open
  await db.run("INSERT INTO t VALUES (1)");
  assert.deepEqual(await db.get("SELECT v FROM t"), { v: 1 });
  channel.removeAllListeners("disconnect");
});

test("raw garbage sent to our server costs a connection, and no other client anything", async (t) => {
  const db = await s.open(t);
  await db.exec("CREATE TABLE t (v)");
  const port = Number(new URL(s.server.url).port);
  const upgrade = `GET /v1/channel?namespace=default HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r
Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: pagewire.v1\r
Authorization: Bearer ${token}\r\n\r\n`;
  for (const bytes of [
    Buffer.from("nonsense\r\n\r\n"),
    hex("82 83 00000000 ffffff"),
    hex("82 ff 7fffffffffffffff 00000000"),
  ]) {
    const socket = dial(port, "127.0.0.1");
    socket.on("error", () => {});
    const closed = once(socket, "close");
    socket.resume();
    if (bytes[0] !== 0x82) socket.write(bytes);
    else socket.write(Buffer.concat([Buffer.from(upgrade), bytes]));
    await closed;
    await db.run("INSERT INTO t VALUES (1)");
  }
  assert.deepEqual(await db.get("SELECT count(*) AS n FROM t"), { n: 3 });
});
