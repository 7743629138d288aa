// A TCP proxy that does to connections what networks do, at random and in either direction: it cuts, stalls, half-closes,
// damages and throttles them. It looks at no byte of what it carries.

import { once } from "node:events";
import { connect, createServer } from "node:net";

const kinds = ["cut", "stall", "half-close", "corrupt", "throttle"];

export class FaultProxy {
  /** Faults done so far, by kind. */
  counts = Object.fromEntries(kinds.map((kind) => [kind, 0]));
  #links = new Set();
  #timers = new Set();
  #server;
  #random;
  #target;
  #active = false;

  constructor(target, random) {
    this.#target = target;
    this.#random = random;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `ws://127.0.0.1:${this.#server.address().port}`;
  }

  /** Begins to do faults. */
  start() {
    this.#active = true;
    this.#next();
  }

  /** Does no more faults, and ends those that last. */
  calm() {
    this.#active = false;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const link of this.#links) for (const way of link) way.recover();
  }

  close() {
    this.calm();
    for (const [up] of this.#links) up.destroy();
    this.#server.close();
  }

  #after(ms, run) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }

  #next() {
    if (!this.#active) return;
    this.#after(this.#random.between(20, 500), () => {
      if (this.#links.size > 0) this.#fault(this.#random.pick([...this.#links]));
      this.#next();
    });
  }

  #fault(link) {
    const way = this.#random.pick(link);
    const kind = this.#random.pick(kinds);
    const recover = () => way.recover();
    if (kind === "cut") way.destroy();
    else if (kind === "half-close") way.halfClose();
    else if (kind === "corrupt") {
      // Counted when a byte comes along to be damaged.
      way.damage = (chunk) => {
        this.counts.corrupt++;
        chunk[this.#random.int(chunk.length)] ^= 1 << this.#random.int(8);
      };
      return;
    } else if (kind === "stall") {
      way.stall();
      this.#after(this.#random.between(50, 6000), recover);
    } else {
      way.rate = this.#random.between(2_000, 200_000);
      this.#after(this.#random.between(200, 3000), recover);
    }
    this.counts[kind]++;
  }

  #accept(client) {
    const server = connect({ port: this.#target, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    const link = [new Way(client, server), new Way(server, client)];
    this.#links.add(link);
    for (const socket of [client, server]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#links.delete(link);
        link[0].destroy();
      });
    }
  }
}

/** One direction of a connection. */
class Way {
  /** Bytes a second, if it is throttled. */
  rate = Number.POSITIVE_INFINITY;
  /** Damages the next chunk, if there is one to be damaged. */
  damage;
  #from;
  #to;
  #stalled = false;
  #closed = false; // what comes is dropped
  #timer;

  constructor(from, to) {
    this.#from = from;
    this.#to = to;
    from.on("data", (chunk) => this.#carry(chunk));
    from.on("end", () => to.end());
    to.on("drain", () => this.#flow());
  }

  #carry(chunk) {
    if (this.#closed) return;
    if (this.damage !== undefined) {
      this.damage(chunk);
      this.damage = undefined;
    }
    const room = this.#to.write(chunk);
    const pause = Math.min((chunk.length / this.rate) * 1000, 5000);
    if (!room) this.#from.pause();
    if (pause >= 1) {
      this.#from.pause();
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#flow();
      }, pause);
    }
  }

  #flow() {
    if (!this.#stalled && this.#timer === undefined && !this.#to.writableNeedDrain) this.#from.resume();
  }

  stall() {
    this.#stalled = true;
    this.#from.pause();
  }

  halfClose() {
    this.#closed = true;
    this.#to.end();
  }

  /** Carries on, as fast as it can. */
  recover() {
    this.#stalled = false;
    this.rate = Number.POSITIVE_INFINITY;
    this.damage = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flow();
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#from.destroy();
    this.#to.destroy();
  }
}
