// Which process a room is in. Nobody keeps a list: whoever holds the lock of the room's database is its owner, and the
// server sees to it that there is one.

import { Room } from "./room.js";

/** How long to wait for a room that no process owns, but one holds: it is about to close it, or to begin. */
const waitMs = 3000;
const askMs = 2000;

export class Rooms {
  #channel;
  #peers;
  #idleMs;
  #log;
  #rooms = new Map(); // name -> promise of a room, or of undefined if another process has it
  #closing = new Map(); // name -> promise of its end

  constructor(channel, { peers, idleMs, log }) {
    this.#channel = channel;
    this.#peers = peers;
    this.#idleMs = idleMs;
    this.#log = log;
    channel.on("lockLost", ({ actor, code, message }) => {
      const name = actor.slice("room-".length);
      this.#log({ event: "lost", room: name, code });
      void this.#end(name, { code: 4001, text: code, why: message });
    });
  }

  /** Is the room here? Does not open it. */
  owns(name) {
    return this.#rooms.has(name);
  }

  /** The room if it is here, or if nobody has it and it can be; undefined if another process has it. */
  async own(name, open = { mode: "fail" }) {
    await this.#closing.get(name);
    let room = this.#rooms.get(name);
    if (room === undefined) {
      room = this.#open(name, open);
      this.#rooms.set(name, room);
    }
    try {
      return await room;
    } catch (error) {
      if (this.#rooms.get(name) === room) this.#rooms.delete(name);
      if (error.code === "actor_locked") return undefined;
      throw error;
    }
  }

  /** Where the room is: { room }, which is here from now on if it was nowhere, or { peer }, the URL of its process. */
  async find(name) {
    let room = await this.own(name);
    if (room !== undefined) return { room };
    const answers = await Promise.all(this.#peers.map((peer) => ask(peer, name)));
    const owner = answers.indexOf("owner");
    if (owner >= 0) return { peer: this.#peers[owner] };
    // A process that cannot be reached may live all the same. It cannot write any more once its rooms are taken over.
    const gone = answers.every((answer) => answer === "unreachable");
    room = await this.own(name, gone ? { mode: "takeover" } : { mode: "wait", waitMs });
    if (room !== undefined) return { room };
    throw Object.assign(new Error(`room ${name} is held by a process that is no peer of this one`), { status: 503 });
  }

  async close() {
    await Promise.all([...this.#rooms.keys()].map((name) => this.#end(name, { code: 1001, text: "going away" })));
    await Promise.all(this.#closing.values());
  }

  async #open(name, options) {
    const db = await this.#channel.open(`room-${name}`, options);
    const room = new Room(db, { idleMs: this.#idleMs, onIdle: () => this.#end(name, { code: 1000, text: "idle" }) });
    await room.prepare();
    this.#log({ event: "opened", room: name, mode: options.mode });
    return room;
  }

  #end(name, reason) {
    const opened = this.#rooms.get(name);
    if (opened === undefined) return;
    this.#rooms.delete(name);
    const closing = opened
      .then((room) => room?.close(reason))
      .catch(({ code, message }) => this.#log({ event: "close failed", room: name, code, message }))
      .finally(() => {
        this.#closing.delete(name);
        this.#log({ event: "closed", room: name, reason: reason.text });
      });
    this.#closing.set(name, closing);
    return closing;
  }
}

async function ask(peer, name) {
  try {
    const answer = await fetch(`${peer}/rooms/${name}/owner`, { signal: AbortSignal.timeout(askMs) });
    return answer.ok ? "owner" : "reachable";
  } catch {
    return "unreachable";
  }
}
