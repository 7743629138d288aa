// The systems by name: where the adapter is, which variant of it, and where its databases are.
//
//   remote   behind a network, so that a latency can be added to it
//   service  the server that run.mjs starts for it
//   keep     one process for all workloads, for what takes seconds to start
//   tune     its PAGEWIRE_TUNE
//   only     the workloads that it can do, if not all
//   slow     at some latency: workloads that would take minutes, and why
//   rounds   by workload: rounds at most, of what takes it long

import { refuse } from "../arguments.mjs";
import { techniques } from "../techniques.mjs";

const aCallAPage = "makes one call for each page, which takes minutes";

const local = (file, variant) => ({ file, variant });

const pagewire = { file: "pagewire", remote: true, service: "pagewire" };

const named = {
  pagewire,
  "better-sqlite3-normal": local("better-sqlite3", "normal"),
  "better-sqlite3-full": local("better-sqlite3", "full"),
  "better-sqlite3-memory": local("better-sqlite3", "memory"),
  "node-sqlite-normal": local("node-sqlite", "normal"),
  "node-sqlite-full": local("node-sqlite", "full"),
  "node-sqlite-memory": local("node-sqlite", "memory"),
  "libsql-normal": local("libsql", "normal"),
  "libsql-full": local("libsql", "full"),
  "turso-normal": local("turso", "normal"),
  "turso-full": local("turso", "full"),
  "sqlite-vfs": {
    file: "sqlite-vfs",
    remote: true,
    slow: {
      10: {
        "row-1mib": aCallAPage,
        "row-10mib": aCallAPage,
        "cold-scan-50mib": aCallAPage,
        "cold-scan-fragmented": aCallAPage,
        "cold-scan-spilled": aCallAPage,
        "cold-index-lookup": aCallAPage,
      },
    },
  },
  rivetkit: {
    file: "rivetkit",
    remote: true,
    service: "rivetkit",
    keep: true,
    slow: { 0: { "cold-scan-fragmented": "fills such a table in minutes, and scans it in two" } },
    rounds: { "cold-scan-50mib": 3, "cold-scan-spilled": 1, "cold-index-lookup": 2, "open-first-query": 2 },
  },
  floor: { file: "floor", only: ["warm-point-read-sync", "read-sqlite", "read-call"] },
  "floor-promises": { file: "floor-promises", only: ["warm-point-read-sync"] },
  "floor-promises-held": { file: "floor-promises", variant: "held", only: ["warm-point-read-sync"] },
  echo: { file: "echo", remote: true, service: "echo", only: ["echo", "echo-synced"] },
  "echo-threads": { file: "echo", variant: "threads", remote: true, service: "echo", only: ["echo-synced"] },
  // All but the last at 0 ms only: with more, what they are to show is lost in the latency.
  "echo-go": { file: "echo-go", service: "echo-go", only: ["echo-synced"] },
  "echo-go-insert": { file: "echo-go", service: "echo-go", only: ["insert-autocommit"] },
  "echo-go-inline": { file: "echo-go", variant: "inline", service: "echo-go", only: ["insert-autocommit"] },
  "echo-go-core": {
    file: "echo-go",
    variant: "core",
    remote: true,
    service: "echo-go",
    only: ["insert-autocommit", "insert-1000-batch", "addon-load"],
  },
};

/** What is measured unless told otherwise. */
export const peers = Object.keys(named);

/** All of them, Pagewire without one of its techniques among them. */
export const adapters = {
  ...named,
  ...Object.fromEntries(
    Object.entries(techniques).map(([name, { options, beside }]) => [
      `without-${name}`,
      {
        ...pagewire,
        tune: options === undefined ? `no-${name}` : undefined,
        variant: options ?? techniques[beside]?.options,
      },
    ]),
  ),
};

/** The adapters that a list of names means: a name, or the beginning of several ("better-sqlite3"). */
export function adaptersOf(names) {
  const chosen = names.flatMap((name) => {
    const found = Object.keys(adapters).filter((known) => known === name || known.startsWith(`${name}-`));
    if (found.length === 0) refuse(`no adapter ${name}; there are: ${Object.keys(adapters).join(", ")}`);
    return found;
  });
  return [...new Set(chosen)];
}
