// Two processes share the rooms: whoever is asked, the owner answers, whatever becomes of it.

import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "pagewire";
import { history, Person, startChat } from "./harness.js";

test("people at two processes are in one room, and see the same messages in the same order", async (t) => {
  const { urls, processes } = await startChat(t);
  const ann = await Person.enter(t, urls[0], "lobby", "ann");
  await ann.say("first");
  const bob = await Person.enter(t, urls[1], "lobby", "bob");
  await bob.hears("first");
  await Promise.all([
    ...Array.from({ length: 20 }, (_, i) => ann.say(`a${i}`)),
    ...Array.from({ length: 20 }, (_, i) => bob.say(`b${i}`)),
  ]);
  await ann.say("last");
  await Promise.all([ann.hears("last"), bob.hears("last")]);
  assert.equal(ann.texts.length, 42);
  assert.deepEqual(ann.messages, bob.messages);
  assert.deepEqual(await history(urls[0], "lobby"), await history(urls[1], "lobby"));
  assert.equal(processes.flatMap(({ logged }) => logged).filter(({ event }) => event === "opened").length, 1);

  const late = await Person.enter(t, urls[1], "lobby", "eve", 40);
  await late.hears("last");
  assert.equal(late.texts.length, 2);
});

test("I4: a message that is sent again is one message", async (t) => {
  const { urls } = await startChat(t);
  const body = JSON.stringify({ author: "ann", text: "once", nonce: "n1" });
  const post = (url) => fetch(`${url}/rooms/lobby/messages`, { method: "POST", body });
  const answers = await Promise.all([post(urls[0]), post(urls[1]), post(urls[0])]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [201, 201, 201],
  );
  const ids = await Promise.all(answers.map(async (answer) => (await answer.json()).id));
  assert.deepEqual(ids, [1, 1, 1]);
  assert.equal((await history(urls[1], "lobby")).length, 1);
});

test("an idle room is closed, and opens where it is asked for next", async (t) => {
  const { urls, processes } = await startChat(t, { idle: 50 });
  const ann = await Person.enter(t, urls[0], "quiet", "ann");
  await ann.say("hello");
  ann.socket.close();
  await processes[0].heard("closed", "quiet");
  assert.deepEqual(
    (await history(urls[1], "quiet")).map(({ text }) => text),
    ["hello"],
  );
  await processes[1].heard("opened", "quiet");
});

test("I2: when the owner is killed, its rooms go on at the other process with everything that was stored", async (t) => {
  const { urls, processes } = await startChat(t);
  const ann = await Person.enter(t, urls[0], "lobby", "ann");
  const bob = await Person.enter(t, urls[1], "lobby", "bob");
  const stored = [];
  const saying = (async () => {
    for (let i = 0; ; i++) {
      await bob.say(`b${i}`);
      stored.push(`b${i}`);
      if (i === 20) ann.emit("enough");
    }
  })();
  saying.catch(() => {});
  await new Promise((resolve) => ann.once("enough", resolve));
  await processes[0].end("SIGKILL");
  await Promise.all([ann.closed, bob.closed]);
  const again = await Person.enter(t, urls[1], "lobby", "bob");
  await again.say("still here");
  await again.hears("still here");
  const texts = again.texts;
  assert.deepEqual(texts.slice(0, stored.length), stored);
  assert.ok(texts.length <= stored.length + 2, "at most one message was under way");
  assert.equal(processes[1].logged.filter(({ event }) => event === "opened").length, 1);
});

test("I1: an owner that does not answer is taken over from, and sends its members away when it wakes", async (t) => {
  const { urls, processes } = await startChat(t);
  const ann = await Person.enter(t, urls[0], "lobby", "ann");
  await ann.say("before");
  processes[0].child.kill("SIGSTOP");
  const bob = await Person.enter(t, urls[1], "lobby", "bob");
  assert.equal((await processes[1].heard("opened", "lobby")).mode, "takeover");
  await bob.say("after");
  ann.socket.send(JSON.stringify({ text: "from the past", nonce: "past" }));
  processes[0].child.kill("SIGCONT");
  const { code } = await ann.closed;
  assert.ok(code === 4001 || code === 1011, `closed with ${code}`);
  await processes[0].heard("closed", "lobby");
  assert.deepEqual(
    (await history(urls[0], "lobby")).map(({ text }) => text),
    ["before", "after"],
  );
});

test("a process that ends gives its rooms back", async (t) => {
  const { urls, processes } = await startChat(t);
  const ann = await Person.enter(t, urls[0], "lobby", "ann");
  await ann.say("bye");
  await processes[0].end("SIGTERM");
  assert.equal((await ann.closed).code, 1001);
  assert.equal((await history(urls[1], "lobby")).length, 1);
  assert.equal((await processes[1].heard("opened", "lobby")).mode, "fail");
});

test("a room that a stranger holds is refused, and what makes no sense too", async (t) => {
  const { urls, server, token } = await startChat(t);
  const channel = await connect({ url: server.url, token });
  await channel.open("room-held");
  const held = await fetch(`${urls[0]}/rooms/held/messages`);
  assert.equal(held.status, 503);
  await channel.close();
  const post = async (body) => (await fetch(`${urls[1]}/rooms/lobby/messages`, { method: "POST", body })).status;
  assert.equal(await post("{"), 400);
  assert.equal(await post(JSON.stringify({ author: "a", text: "", nonce: "n" })), 400);
  assert.equal(await post("x".repeat(20_000)), 413);
  assert.equal((await fetch(`${urls[0]}/rooms/No/messages`)).status, 404);
  const ann = await Person.enter(t, urls[0], "lobby", "ann");
  ann.socket.send("{}");
  assert.match(await ann.fails(), /text is not text/);
  assert.deepEqual(await history(urls[0], "lobby"), []);
});
