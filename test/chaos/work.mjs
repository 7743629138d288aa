// The work of one client: it opens actors, often ones that others hold, and writes and reads them, with a log of what it
// was promised.

import { setTimeout as later } from "node:timers/promises";
import { connect } from "pagewire";
import { Log } from "./log.mjs";
import { seeded } from "./random.mjs";
import { accounts, bodyOf, broken, invariant } from "./schema.mjs";

/** Codes that end a session with an actor; the actor is opened anew. */
const ends = new Set(["lock_lost", "closed", "channel_closed", "unauthorized"]);
/** Codes of calls that others' doings or the network may bring about. Any other is a violation. */
const expected = new Set([
  ...ends,
  ...["commit_indeterminate", "transaction_lost", "timeout", "aborted", "actor_locked", "unreachable", "cursor_lost"],
  // A handshake has no checksum: what is damaged in it is refused by names.
  ...["version_mismatch", "bad_request"],
]);
/** How long calls may take until they end with timeout, in milliseconds. */
const requestTimeout = 8000;

/** Works until stop.asked; config is {name, url, token, seed, log, actors}. Ids begin with the name. */
export async function work(config, stop) {
  const worker = new Worker(config, stop);
  await worker.run();
}

class Worker {
  #config;
  #stop;
  #random;
  #log;
  #channel;
  #ids = 0;
  #over = false; // the session with the actor
  #last; // the last id that was promised in this session

  constructor(config, stop) {
    this.#config = config;
    this.#stop = stop;
    this.#random = seeded(config.seed);
    this.#log = new Log(config.log);
  }

  async run() {
    while (!this.#stop.asked) {
      this.#channel = await this.#guard("connect", () => this.#connect());
      if (this.#channel === undefined) {
        await later(this.#random.between(10, 200));
        continue;
      }
      const sessions = this.#random.between(3, 30);
      for (let i = 0; i < sessions && !this.#stop.asked && this.#channel.alive; i++) await this.#session();
      await this.#guard("close the channel", () => this.#channel.close({ timeout: 2000 }));
    }
    this.#log.write({ event: "end" });
    this.#log.close();
  }

  async #connect() {
    const { url, token } = this.#config;
    const channel = await connect({ url, token, connectTimeout: 3000, requestTimeout, backoff: { min: 20, max: 500 } });
    channel.alive = true;
    channel.on("disconnect", ({ code, message }) => {
      this.#log.write({ event: "disconnect", message });
      if (code === "unauthorized") channel.alive = false;
    });
    channel.on("lockLost", ({ actor }) => this.#log.write({ event: "lock_lost", actor }));
    return channel;
  }

  /** Runs what may fail as expected; anything else is a violation. */
  async #guard(what, run) {
    try {
      return await run();
    } catch (error) {
      this.#failed(what, error);
      return undefined;
    }
  }

  #failed(what, error) {
    if (ends.has(error.code)) this.#over = true;
    const closed = error.code === "channel_closed" || error.code === "unauthorized";
    if (closed && this.#channel !== undefined) this.#channel.alive = false; // there is none after a failed connect
    if (expected.has(error.code)) this.#log.write({ event: "refused", what, code: error.code });
    else this.#violation(`${what}: ${error.stack} code ${error.code}`);
  }

  #violation(text) {
    this.#log.write({ violation: text });
  }

  async #session() {
    const random = this.#random;
    const actor = random.pick(this.#config.actors);
    const mode = random.pick(["takeover", "wait", "wait"]);
    const options = { mode, waitMs: random.between(1, 1500), preload: random.pick([0, undefined]) };
    const db = await this.#guard("open", () => this.#channel.open(actor, options));
    if (db === undefined) return;
    this.#log.write({ event: mode, actor, generation: db.generation });
    this.#over = false;
    this.#last = undefined;
    const until = Date.now() + random.between(50, 2000);
    const works = [this.#transfer, this.#increment, this.#large, this.#parts, this.#singles, this.#read, this.#scan];
    while (!this.#over && !this.#stop.asked && Date.now() < until) {
      // Sometimes one after the other, sometimes all at once.
      const some = Array.from({ length: random.pick([1, 1, 1, 4]) }, () => random.pick(works));
      await Promise.all(some.map((run) => run.call(this, db)));
    }
    await this.#guard("close", () => db.close({ timeout: 2000 }));
  }

  /** Tries to store something under a new id, and logs what came of it. */
  async #promise(kind, db, run) {
    const id = `${this.#config.name}.${++this.#ids}`;
    this.#log.write({ try: id, actor: db.actor, kind });
    try {
      await run(id);
      this.#log.write({ ok: id });
      if (kind === "single") this.#last = id;
    } catch (error) {
      this.#log.write({ no: id, code: error.code, message: error.message });
      this.#failed(kind, error);
    }
  }

  /** Limits of a call: mostly none. */
  #limits() {
    if (this.#random.chance(0.03)) return { timeout: this.#random.between(1, 100) };
    if (this.#random.chance(0.03)) return { signal: AbortSignal.timeout(this.#random.between(1, 100)) };
    return undefined;
  }

  #transfer(db) {
    const payer = this.#random.between(1, accounts);
    const payee = this.#random.between(1, accounts);
    const amount = this.#random.between(1, 20);
    const limits = this.#limits();
    return this.#promise("transfer", db, (id) =>
      db.transaction(async (tx) => {
        await tx.run("UPDATE account SET balance = balance - ? WHERE id = ?", [amount, payer]);
        const { total } = await tx.get("SELECT sum(balance) AS total FROM account");
        await tx.run("UPDATE account SET balance = balance + ? WHERE id = ?", [amount, payee]);
        if (total + amount !== (await tx.get("SELECT sum(balance) AS total FROM account")).total) {
          this.#violation(`transfer ${id} saw another's writes in its transaction`);
        }
        await tx.run("INSERT INTO transfer VALUES (?, ?, ?, ?)", [id, payer, payee, amount]);
      }, limits),
    );
  }

  #increment(db) {
    const insert = (id) => ["INSERT INTO increment VALUES (?)", [id]];
    return this.#promise("increment", db, (id) => db.batch([insert(id), ["UPDATE counter SET n = n + 1"]]));
  }

  // Bodies of older rows are emptied, or an hour's run would fill the disk.
  #large(db) {
    const size = this.#random.between(5_000, 300_000);
    return this.#promise("large", db, (id) =>
      db.batch([
        ["INSERT INTO large VALUES (?, ?, ?)", [id, size, bodyOf(id, size)]],
        ["UPDATE large SET body = x'' WHERE rowid IN (SELECT rowid FROM large ORDER BY rowid DESC LIMIT 4 OFFSET 10)"],
      ]),
    );
  }

  // Long ones are packed in pieces.
  #parts(db) {
    const total = this.#random.chance(0.1) ? this.#random.between(130, 600) : this.#random.between(2, 40);
    return this.#promise("part", db, (id) =>
      db.batch(Array.from({ length: total }, (_, n) => ["INSERT INTO part VALUES (?, ?, ?)", [id, n, total]])),
    );
  }

  #singles(db) {
    const one = () => {
      const limits = this.#limits();
      return this.#promise("single", db, (id) => db.run("INSERT INTO single VALUES (?)", [id], limits));
    };
    return Promise.all(Array.from({ length: this.#random.between(1, 12) }, one));
  }

  /** Reads what must hold in every state, and what was promised in this session. */
  #read(db) {
    return this.#guard("read", async () => {
      const mine = this.#last;
      const wrong = broken(await db.get(invariant));
      if (wrong !== undefined) this.#violation(`a read of ${db.actor}: ${wrong}`);
      if (mine === undefined) return;
      // So often that the engine knows the statement, and keeps its read transaction open.
      for (let times = this.#random.between(1, 30); times > 0; times--) {
        const { n } = await db.get("SELECT count(*) AS n FROM single WHERE id = ?", [mine]);
        if (n !== 1) this.#violation(`${mine} was promised in this session, which now reads ${n} of it`);
      }
    });
  }

  #scan(db) {
    return this.#guard("scan", async () => {
      for await (const { id, size, body } of db.iterate("SELECT * FROM large ORDER BY rowid DESC LIMIT 12")) {
        if (body.length !== 0 && !bodyOf(id, size).equals(body)) this.#violation(`the large row ${id} reads damaged`);
      }
    });
  }
}
