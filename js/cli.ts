#!/usr/bin/env node
// The `pagewire` command of the npm package: runs the program that came with the platform's package.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { findCommand } from "./loader.js";

function run(command: string): void {
  const child = spawn(command, process.argv.slice(2), { stdio: "inherit" });
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  // A terminal interrupts the child too, and a second interrupt would end the server before it has drained.
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  child.once("error", (error) => {
    console.error(`pagewire: ${command} could not be started: ${error.message}`);
    process.exitCode = 1;
  });
  child.once("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal ?? "SIGTERM"];
  });
}

try {
  run(findCommand());
} catch (error) {
  console.error(`pagewire: ${(error as Error).message}`);
  process.exitCode = 1;
}
