// Kills a process in the middle of writing, and lets another one look at what it left.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What the writer is told. */
export interface Assignment {
  url: string;
  token: string;
  actors: string[];
}
/** What it tells: the row with this id is acknowledged. */
export interface Acknowledged {
  actor: string;
  id: number;
}
/** What the verifier is told: the last row acknowledged of each actor that was written, all before it being so too. */
export interface Verification extends Assignment {
  written: Record<string, number>;
}
/** What it found: acknowledged rows that are there, all rows, and the size in bytes. */
export interface Found {
  actor: string;
  kept: number;
  rows: number;
  integrity: string;
  bytes: number;
}

const children = new Set<ChildProcess>();

function start(script: string): ChildProcess {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)));
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/** Ends every child process that is still there. */
export async function endChildren(): Promise<void> {
  await Promise.all(
    [...children].map(async (child) => {
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
    }),
  );
}

/** Lets a process write until so many rows are acknowledged, kills it, and returns the last one of each actor. */
export async function writeAndKill(assignment: Assignment, rows: number): Promise<Record<string, number>> {
  const writer = start("./writer.js");
  const last: Record<string, number> = {};
  let seen = 0;
  // Messages sent before the kill may come after it: all of them count as acknowledged.
  writer.on("message", ({ actor, id }: Acknowledged) => {
    last[actor] = id;
    if (++seen === rows) writer.kill("SIGKILL");
  });
  writer.send(assignment);
  const [code, signal] = await once(writer, "close");
  if (signal !== "SIGKILL") throw new Error(`the writer ended with ${signal ?? `code ${code}`} before it was killed`);
  return last;
}

/** Lets another process look at all actors. */
export async function verify(verification: Verification): Promise<Found[]> {
  const verifier = start("./verifier.js");
  const found: Found[] = [];
  verifier.on("message", (one: Found) => found.push(one));
  verifier.send(verification);
  const [code, signal] = await once(verifier, "close");
  if (code !== 0) throw new Error(`the verifier ended with ${signal ?? `code ${code}`}`);
  return found;
}
