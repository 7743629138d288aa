// A room: an actor whose state is its database. It is the only writer, so it can tell its members of a message as soon as
// the message is stored.

const schema = `
  CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    nonce TEXT NOT NULL UNIQUE
  ) STRICT`;

const newest = 200;

export class Room {
  #db;
  #idleMs;
  #onIdle;
  #members = new Map(); // member -> id of the last message it was told
  #busy = 0;
  #timer;

  /** A room whose database was just opened. onIdle is called when nobody has been in it for idleMs. */
  constructor(db, { idleMs, onIdle }) {
    this.#db = db;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
  }

  prepare() {
    return this.#used(() => this.#db.exec(schema));
  }

  /**
   * Stores a message and tells all members. The nonce makes a message that is sent again, because its sender does not know
   * what became of it, one message. Resolves when it is on stable storage: nobody sees one that could still vanish.
   */
  post({ author, text, nonce }) {
    return this.#used(async () => {
      const { rows } = await this.#db.run(
        "INSERT INTO messages (author, text, at, nonce) VALUES (?, ?, ?, ?) ON CONFLICT (nonce) DO NOTHING RETURNING *",
        [author, text, Date.now(), nonce],
      );
      const [message] = rows;
      if (message === undefined) return this.#db.get("SELECT * FROM messages WHERE nonce = ?", [nonce]);
      for (const member of this.#members.keys()) this.#tell(member, message);
      return message;
    });
  }

  /** Messages after the one with this id: the newest ones, oldest first. */
  since(id) {
    const sql = "SELECT * FROM (SELECT * FROM messages WHERE id > ? ORDER BY id DESC LIMIT ?) ORDER BY id";
    return this.#used(() => this.#db.all(sql, [id, newest]));
  }

  /** Tells a member of all messages after the one with this id, now and from now on. member: { tell, leave }. */
  async join(member, id) {
    const messages = await this.since(id);
    // Results come in the order of the calls: what is stored after these is told to members after this.
    this.#members.set(member, id);
    this.#wait();
    for (const message of messages) this.#tell(member, message);
  }

  leave(member) {
    this.#members.delete(member);
    this.#wait();
  }

  /** Sends everybody away and gives the room back. */
  async close(reason) {
    clearTimeout(this.#timer);
    this.#onIdle = undefined;
    for (const member of this.#members.keys()) member.leave(reason);
    this.#members.clear();
    await this.#db.close();
  }

  #tell(member, message) {
    if (message.id <= this.#members.get(member)) return;
    this.#members.set(member, message.id);
    member.tell(message);
  }

  async #used(work) {
    this.#busy++;
    clearTimeout(this.#timer);
    try {
      return await work();
    } finally {
      this.#busy--;
      this.#wait();
    }
  }

  #wait() {
    clearTimeout(this.#timer);
    if (this.#busy > 0 || this.#members.size > 0 || this.#onIdle === undefined) return;
    this.#timer = setTimeout(this.#onIdle, this.#idleMs);
  }
}
