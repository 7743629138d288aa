// A server of startServer lives and ends with the program that started it.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as dial } from "node:net";
import test from "node:test";
import { setTimeout as later } from "node:timers/promises";
import { runModule } from "../support/child.mjs";

const starting = `
  import { connect } from "pagewire";
  import { startServer } from "pagewire/server";
  const server = await startServer({ token: "secret-of-this-test", command: process.env.PAGEWIRE_TEST_COMMAND });
  const channel = await connect({ url: server.url, token: "secret-of-this-test" });
  const db = await channel.open("a");
  await db.exec("CREATE TABLE t (v)");
  console.log(JSON.stringify({ port: Number(new URL(server.url).port), pid: server.pid }));
  console.log("started");`;

async function start(then) {
  const program = runModule(`${starting}\n${then}`);
  let said = "";
  program.child.stdout.on("data", (chunk) => {
    said += chunk;
  });
  await program.line("started");
  return { program, ...JSON.parse(said.split("\n")[0]) };
}

// The server is no child of ours, so nothing tells of its end; a zombie is one that nobody has asked after.
function alive(pid) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return process.platform !== "linux";
  }
}

async function gone(pid) {
  for (const end = Date.now() + 20_000; Date.now() < end; await later(10)) if (!alive(pid)) return;
  assert.fail(`the server (process ${pid}) outlived its parent`);
}

test("a program with a server of its own and an open, idle database ends by itself, and the server with it", async () => {
  const { program, pid } = await start("");
  const { code, signal, stderr } = await program.end;
  assert.deepEqual([code, signal, stderr], [0, null, ""]);
  await gone(pid);
});

for (const signal of ["SIGTERM", "SIGKILL"]) {
  test(`a server is gone after its parent, even by ${signal} amid writes`, async () => {
    const { program, port, pid } = await start(`
      const write = () => db.run("INSERT INTO t VALUES (randomblob(1000))").then(write);
      write();
      setInterval(() => {}, 1000);`);
    const socket = dial({ port, host: "127.0.0.1" });
    await once(socket, "connect");
    const closed = once(socket, "close");
    assert.ok(alive(pid));
    program.child.kill(signal);
    assert.equal((await program.end).signal, signal);
    socket.on("error", () => {}); // a reset is an end too
    await closed;
    await gone(pid);
  });
}

test("stop() lets calls that were answered be, and a server that is stopped twice is stopped once", async () => {
  const { program, pid } = await start(`
    for (let i = 0; i < 10; i++) await db.run("INSERT INTO t VALUES (?)", [i]);
    await channel.close();
    await Promise.all([server.stop(), server.stop()]);
    await server.exited;`);
  const { code, stderr } = await program.end;
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(alive(pid), false);
});
