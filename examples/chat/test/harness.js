// A Pagewire server, processes of the chat before it, and people in its rooms.

import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startServer } from "pagewire/server";
import { WebSocket } from "ws";

const main = fileURLToPath(new URL("../main.js", import.meta.url));
const token = "secret";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Waits for an item of a list that grows, each growth being told by an event. */
async function found(emitter, event, list, fits) {
  for (const signal = AbortSignal.timeout(30_000); ; await once(emitter, event, { signal })) {
    const item = list.find(fits);
    if (item !== undefined) return item;
  }
}

/** A process of the chat. What it logs are events. */
class Process extends EventEmitter {
  logged = [];

  constructor(args) {
    super();
    this.child = spawn(process.execPath, [main, ...args], {
      env: { ...process.env, PAGEWIRE_TOKEN: token },
      stdio: ["ignore", "pipe", "inherit"],
    });
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      this.logged.push(JSON.parse(line));
      this.emit("logged");
    });
  }

  /** The latest news of a kind is waited for: forget() what is old first. */
  heard(event, room) {
    return found(this, "logged", this.logged, (news) => news.event === event && news.room === room);
  }

  forget() {
    this.logged = [];
  }

  async end(signal) {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.kill(signal);
    await gone;
  }
}

/** Starts a server and two processes that know each other; all end with the test. */
export async function startChat(t, { idle = 60_000 } = {}) {
  const server = await startServer({ token });
  const ports = [await freePort(), await freePort()];
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const processes = ports.map(
    (port, i) =>
      new Process(["--pagewire", server.url, "--port", `${port}`, "--peer", urls[1 - i], "--idle", `${idle}`]),
  );
  t.after(async () => {
    for (const one of processes) {
      one.child.kill("SIGCONT");
      await one.end("SIGTERM");
    }
    await server.stop();
  });
  for (const one of processes) await one.heard("listening");
  return { server, token, processes, urls };
}

/** Somebody in a room. */
export class Person extends EventEmitter {
  messages = [];
  stored = [];
  errors = [];

  constructor(url, room, author, after = 0) {
    super();
    this.setMaxListeners(0); // as many calls wait for news as there are messages under way
    this.socket = new WebSocket(`${url.replace("http", "ws")}/rooms/${room}?author=${author}&after=${after}`);
    this.closed = new Promise((resolve) => this.socket.on("close", (code, text) => resolve({ code, text: `${text}` })));
    this.socket.on("error", () => {});
    this.socket.on("message", (data) => {
      const { message, stored, error } = JSON.parse(data);
      if (message) this.messages.push(message);
      if (stored) this.stored.push(stored);
      if (error) this.errors.push(error);
      this.emit("news");
    });
  }

  static async enter(t, ...args) {
    const person = new Person(...args);
    t.after(() => person.socket.terminate());
    await once(person.socket, "open");
    return person;
  }

  say(text, nonce = `${text} ${Math.random()}`) {
    this.socket.send(JSON.stringify({ text, nonce }));
    return found(this, "news", this.stored, (one) => one === nonce);
  }

  hears(text) {
    return found(this, "news", this.messages, (message) => message.text === text);
  }

  fails() {
    return found(this, "news", this.errors, () => true);
  }

  get texts() {
    return this.messages.map(({ text }) => text);
  }
}

/** All messages of a room, asked from any process. */
export async function history(url, room) {
  const answer = await fetch(`${url}/rooms/${room}/messages`);
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}
