// What was tried and how it went, as a table.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const windows = process.platform === "win32";
const rows = [];
const patience = 600_000;

/** What this machine cannot run; says why. */
export class NotHere extends Error {}

/** The path of the first of these programs that is there, by name or by path. */
export function need(what, ...programs) {
  const found = programs
    .flatMap((name) => (name.includes("/") ? [name] : process.env.PATH.split(delimiter).map((dir) => join(dir, name))))
    .find(existsSync);
  if (found === undefined) throw new NotHere(`${what} is not installed (scripts/smoke-needs)`);
  return found;
}

/** Runs a check, and notes that it passed with what it returns, failed, or cannot run here. */
export async function check(area, what, run) {
  const began = Date.now();
  const row = { area, what, result: "ok", detail: "" };
  try {
    row.detail = (await run()) ?? "";
  } catch (error) {
    row.result = error instanceof NotHere ? "not here" : "FAILED";
    row.detail = error.message.split("\n")[0].slice(0, 120);
    if (row.result === "FAILED") console.error(`\n${area}: ${what}: ${error.message}\n`);
  }
  row.seconds = ((Date.now() - began) / 1000).toFixed(1);
  rows.push(row);
  console.log(`${row.result.padEnd(8)} ${area}: ${what} (${row.seconds} s) ${row.detail}`);
}

/** Prints the table. Returns how many checks failed. */
export function print() {
  const head = { area: "what", what: "with", result: "result", seconds: "s", detail: "seen" };
  const columns = Object.keys(head);
  const widths = columns.map((c) => Math.max(...[head, ...rows].map((row) => row[c].length)));
  const line = (row) => `| ${columns.map((c, i) => row[c].padEnd(widths[i])).join(" | ")} |`;
  const rule = `| ${widths.map((w) => "-".repeat(w)).join(" | ")} |`;
  console.log(`\n${[line(head), rule, ...rows.map(line)].join("\n")}`);
  const count = (result) => rows.filter((row) => row.result === result).length;
  console.log(`\n${count("ok")} passed, ${count("FAILED")} failed, ${count("not here")} skipped`);
  return count("FAILED");
}

/** Runs a command, with a limit of time. Resolves to its standard output; rejects with all it wrote if it fails. */
export function run(command, args, { cwd, env = {}, input } = {}) {
  const shell = windows && ["npm", "npx"].includes(command); // batch files there
  const child = spawn(command, args, { cwd, shell, env: { ...process.env, NODE_OPTIONS: "", ...env } });
  let stdout = "";
  let all = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
    all += chunk;
  });
  child.stderr.on("data", (chunk) => {
    all += chunk;
  });
  child.stdin.on("error", () => {}); // a program that does not read ends first
  child.stdin.end(input);
  const hung = setTimeout(() => child.kill("SIGKILL"), patience);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      clearTimeout(hung);
      if (code === 0) resolve(stdout.trim());
      else reject(new Error(`${command} ${args.join(" ")} ended with ${signal ?? code}:\n${all.slice(-4000)}`));
    });
  });
}

/** What test/installed/program.mjs said at its end. Its exit code alone is not believed: an emulator may lose it. */
export function saidOk(text, where = "") {
  if (!text.startsWith(`ok ${where}`)) throw new Error(`it was to say "ok ${where}", and said: ${text}`);
  return text;
}

/** Runs a command that runs the program. */
export const runProgram = async (command, args, options, where) => saidOk(await run(command, args, options), where);
