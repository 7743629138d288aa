// Programs of their own: modules that run in a child process, and how they end.

import { spawn } from "node:child_process";
import { once } from "node:events";

/** How long a program may take to end before it counts as hung, in milliseconds. */
const patience = 30_000;

/**
 * Runs an ES module with arguments (process.argv from 1 on). `line(text)` resolves when the program has written that line,
 * `end` with { code, signal, stdout, stderr }; a program that hangs is killed and its end rejects.
 */
export function runModule(source, ...args) {
  const child = spawn(process.execPath, ["--input-type=module", "-e", source, ...args]);
  const out = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) {
    child[name].setEncoding("utf8").on("data", (chunk) => {
      out[name] += chunk;
    });
  }
  const hung = setTimeout(() => child.kill("SIGKILL"), patience);
  const began = Date.now();
  const end = once(child, "close").then(([code, signal]) => {
    clearTimeout(hung);
    if (Date.now() - began >= patience) throw new Error(`the program hung and was killed:\n${out.stdout}${out.stderr}`);
    return { code, signal, ...out };
  });
  const line = (text) =>
    new Promise((resolve, reject) => {
      const look = () => out.stdout.split("\n").includes(text) && resolve();
      child.stdout.on("data", look);
      look();
      end.then(({ stderr }) => reject(new Error(`the program ended without writing ${text}:\n${stderr}`)), reject);
    });
  return { child, line, end };
}
