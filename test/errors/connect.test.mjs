// What can go wrong before a channel stands, on either side of the connection.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import test from "node:test";
import { connect, connectSync } from "pagewire";
import { serve } from "../js/harness.mjs";
import { frame, handshake, sealed, startServerOf } from "../support/websocket.mjs";

const token = "secret-of-this-test";
const s = serve({ token });
const ofPagewire = (code, message = /./) => ({ name: "PagewireError", code, message });

test("tokens that are wrong, missing or unusable are refused, and never repeated", async () => {
  const { url } = s.server;
  for (const bad of ["wrong-one", `${token}x`, token.slice(1)]) {
    const error = await connect({ url, token: bad }).catch((e) => e);
    assert.equal(error.code, "unauthorized");
    assert.ok(!`${error.stack}${error.message}`.includes(bad), "the token is in the error");
  }
  await assert.rejects(connect({ url }), ofPagewire("unauthorized"));
  await assert.rejects(connect({ url, token: "" }), ofPagewire("unauthorized"));
  const split = await connect({ url, token: "two\r\nlines" }).catch((e) => e);
  assert.equal(split.code, "invalid_url", split.message);
  assert.doesNotMatch(split.message, /two|lines/);
  assert.throws(() => connectSync({ url, token: "wrong-one" }), ofPagewire("unauthorized"));
});

test("a token in the URL is refused on both sides, even a right one", async () => {
  const { url } = s.server;
  for (const query of [`?token=${token}`, `?access_token=${token}`]) {
    const error = await connect({ url: `${url}/${query}`, token }).catch((e) => e);
    assert.equal(error.code, "invalid_url", error.message);
    assert.ok(!error.message.includes(token), "the token is in the error");
  }
  const withUser = await connect({ url: url.replace("ws://", `ws://user:${token}@`) }).catch((e) => e);
  assert.equal(withUser.code, "invalid_url", withUser.message);
  assert.ok(!withUser.message.includes(token), "the token is in the error");
  const headers = { "Sec-WebSocket-Protocol": "pagewire.v1", Authorization: `Bearer ${token}` };
  const path = "/v1/channel?namespace=default";
  assert.deepEqual(await handshake(url, path, headers), { status: 101, subprotocol: "pagewire.v1" });
  const answer = await handshake(url, `${path}&token=${token}`, headers);
  assert.equal(answer.status, 400);
  assert.ok(!answer.body.includes(token), "the token is in the answer");
});

test("URLs that cannot be used are refused with what is wrong", async () => {
  await assert.rejects(connect({}), { name: "TypeError", message: /url/ });
  await assert.rejects(connect({ url: 7 }), { name: "TypeError", message: /url/ });
  for (const url of ["", "nonsense", "http//x", "ftp://127.0.0.1:1", "ws://", "ws://[::1", "ws://127.0.0.1:99999"]) {
    await assert.rejects(connect({ url }), ofPagewire("invalid_url"), JSON.stringify(url));
  }
  for (const connectTimeout of [-1, 1.5, Number.NaN, Infinity]) {
    await assert.rejects(connect({ url: s.server.url, connectTimeout }), { name: "TypeError", message: /timeout/ });
  }
});

test("a server that is not there is unreachable, at once", async () => {
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address();
  closed.close();
  await once(closed, "close");
  await assert.rejects(connect({ url: `ws://127.0.0.1:${port}` }), ofPagewire("unreachable", /refused/));
  await assert.rejects(connect({ url: "ws://no-such-host.invalid" }), ofPagewire("unreachable"));
});

test("a server that hangs up, or is no WebSocket server, is unreachable", async (t) => {
  for (const greeting of ["", "SSH-2.0-nonsense\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]) {
    const server = createServer((socket) => socket.on("error", () => {}).end(greeting)).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const url = `ws://127.0.0.1:${server.address().port}`;
    await assert.rejects(connect({ url, connectTimeout: 5000 }), ofPagewire("unreachable"), JSON.stringify(greeting));
  }
  for (const status of [404, 500, 503]) {
    await assert.rejects(connect({ url: await startServerOf(t, { status }) }), ofPagewire("unreachable"), `${status}`);
  }
});

test("a server of another version of the protocol is told from one that is broken", async (t) => {
  for (const subprotocol of ["pagewire.v99", null, "mqtt"]) {
    const url = await startServerOf(t, { subprotocol });
    await assert.rejects(connect({ url, connectTimeout: 5000 }), (error) => {
      assert.equal(error.code, "version_mismatch", `${subprotocol}: ${error.message}`);
      return true;
    });
  }
});

test("a client of another version is refused by our server", async () => {
  const path = "/v1/channel?namespace=default";
  const headers = { Authorization: `Bearer ${token}` };
  for (const subprotocol of ["pagewire.v99", "mqtt", undefined]) {
    const asked = subprotocol === undefined ? headers : { ...headers, "Sec-WebSocket-Protocol": subprotocol };
    const answer = await handshake(s.server.url, path, asked);
    assert.equal(answer.status, 400, `${subprotocol}`);
    assert.match(answer.body, /pagewire\.v1/, "the answer says what the server speaks");
  }
  const both = { ...headers, "Sec-WebSocket-Protocol": "pagewire.v99, pagewire.v1" };
  assert.equal((await handshake(s.server.url, path, both)).subprotocol, "pagewire.v1");
});

test("a server that greets with garbage is unreachable, not a crash", async (t) => {
  const greetings = {
    "random bytes": frame(sealed(Buffer.from("fffefdfc00112233", "hex"))),
    "an empty message": frame(Buffer.alloc(0)),
    text: frame(Buffer.from("hello"), { opcode: 1 }),
    "a response to nothing": frame(sealed(Buffer.from("a3000501182a02a0", "hex"))),
    "deeply nested arrays": frame(sealed(Buffer.alloc(10_000, 0x81))),
    "a map of 2^40 pairs": frame(sealed(Buffer.from("bb0000010000000000", "hex"))),
    "a broken frame header": Buffer.from("ffffffff", "hex"),
    "a masked frame": Buffer.from("8281000000001e", "hex"),
    "a close": frame(Buffer.from([0x03, 0xe8]), { opcode: 8 }),
  };
  for (const [what, bytes] of Object.entries(greetings)) {
    const url = await startServerOf(t, { connected: (socket) => socket.write(bytes) });
    const error = await connect({ url, connectTimeout: 5000 }).catch((e) => e);
    assert.match(String(error.code), /^(unreachable|version_mismatch)$/, `${what}: ${error.message}`);
  }
  assert.deepEqual(await (await s.channel.open("still-there")).get("SELECT 1 AS one"), { one: 1 });
});
