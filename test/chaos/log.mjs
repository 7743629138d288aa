// What a client was promised, in a file of its own: a line is with the system before the client goes on, so it outlives
// the process.

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

export class Log {
  #fd;

  constructor(path) {
    this.#fd = openSync(path, "a");
  }

  write(line) {
    writeSync(this.#fd, `${JSON.stringify(line)}\n`);
  }

  close() {
    closeSync(this.#fd);
  }
}

/** The lines of a log. One that was not finished, because its writer was killed, is left out. */
export function readLog(path) {
  const lines = readFileSync(path, "utf8").split("\n");
  lines.pop();
  return lines.map((line) => JSON.parse(line));
}
