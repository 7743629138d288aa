// The SQLite that Pagewire is built from, with the same options, for addons of the benchmarks; and Go, which knows where
// it is.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { compiled } from "./compile.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs go with the repository's settings; answers what it prints. */
export function go(...args) {
  const { status, stdout, error } = spawnSync("scripts/go", args, {
    encoding: "utf8",
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`go ${args.join(" ")}: ${error ?? status}`);
  return stdout.trim();
}

/** What cc is told to compile an addon on it, as text for the shell. It is compiled itself when first needed. */
export function withSqlite() {
  const own = go("list", "-f", "{{range .CgoCFLAGS}} {{.}}{{end}}", "github.com/mattn/go-sqlite3");
  const options = `${own} ${go("env", "CGO_CFLAGS")}`;
  return `${options} '${compiled("sqlite", ".o", () => `-c -fPIC ${options}`)}'`;
}
