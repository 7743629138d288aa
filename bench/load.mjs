// What loading a library costs a process: run by workload addon-load, which starts it as a program of its own each time.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** By adapter file: code that loads the library and enters it once, and its native files. */
const libraries = {
  pagewire: {
    // No server listens there: the call enters the library and answers that.
    code: `const { connectSync } = require(${JSON.stringify(join(root, "dist/index.js"))});
      try { connectSync({ url: "http://" }); } catch {}`,
    files: () => [join(root, "out/libpagewire.so"), join(root, "build/Release/pagewire.node")],
  },
  "better-sqlite3": {
    code: 'const Database = require("better-sqlite3"); new Database(":memory:").close();',
    files: () => nodeFiles("better-sqlite3"),
  },
  // The least: SQLite, Go with the libraries that Pagewire is made of, no JavaScript. Its adapter has built it.
  "echo-go": {
    code: `require(${JSON.stringify(join(root, "out/echo-go.node"))}).close();`,
    files: () => [join(root, "out/libecho-go.so"), join(root, "out/echo-go.node")],
  },
  "node-sqlite": {
    code: 'const { DatabaseSync } = require("node:sqlite"); new DatabaseSync(":memory:").close();',
    files: () => [],
  },
  libsql: {
    code: 'const Database = require("libsql"); new Database(":memory:").close();',
    files: () => nodeFiles("@libsql/linux-x64-gnu"),
  },
  turso: {
    code: 'const { Database } = require("@tursodatabase/database"); new Database(":memory:");',
    files: () => nodeFiles("@tursodatabase/database-linux-x64-gnu"),
  },
};

/** The addons of an installed package: those for this platform, if there are several. */
function nodeFiles(name) {
  const folder = join(fileURLToPath(new URL("node_modules", import.meta.url)), name);
  if (!existsSync(folder)) return [];
  const found = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith(".node"));
  const mine = found.filter((file) => file.includes(`${process.platform}-${process.arch}`) && !file.includes("musl"));
  return (mine.length > 0 ? mine : found).slice(0, 1).map((file) => join(folder, file));
}

/** {ms, privateMib, fileMib} of loading a library in a new process. */
export function loadAddon(file) {
  const { code, files } = libraries[file];
  const script = `
    const { readFileSync } = require("node:fs");
    const held = () => {
      globalThis.gc();
      const kb = [...readFileSync("/proc/self/smaps_rollup", "utf8").matchAll(/^Private_\\w+:\\s+(\\d+)/gm)];
      return kb.reduce((sum, [, n]) => sum + Number(n), 0) / 1024;
    };
    held();
    const before = held();
    const begin = performance.now();
    ${code}
    const ms = performance.now() - begin;
    const privateMib = held() - before;
    process.stdout.write(JSON.stringify({ ms, privateMib }));
    process.exit(0);`;
  const ran = spawnSync(process.execPath, ["--expose-gc", "--disable-warning=ExperimentalWarning", "-e", script], {
    encoding: "utf8",
    cwd: fileURLToPath(new URL(".", import.meta.url)),
  });
  if (ran.status !== 0) throw new Error(`loading ${file} failed: ${ran.stderr}`);
  const bytes = files().reduce((sum, path) => sum + statSync(path).size, 0);
  return { ...JSON.parse(ran.stdout), fileMib: bytes / 2 ** 20 };
}
