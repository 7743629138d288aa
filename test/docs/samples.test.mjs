// Every code sample of README and the guides is run, compiled or parsed, as its reader would: a sample whose fence says `js
// run` is run against a real server, `ts` is compiled; the others must be of a known kind. So none can grow stale unseen.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { startServer } from "pagewire/server";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const guides = readdirSync(join(root, "docs/guides")).map((name) => `docs/guides/${name}`);
const files = ["README.md", ...guides.filter((name) => name.endsWith(".md"))];
// Text that no program reads, and what only Docker can run: it is not on every machine.
const unread = new Set(["text", "dockerfile"]);

/** The fenced samples of a document: { where, kind, source }. */
function samples(file) {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map(({ 1: kind, 2: source, index }) => ({
    where: `${file}:${text.slice(0, index).split("\n").length}`,
    kind: kind.trim(),
    source,
  }));
}

const all = files.flatMap(samples);
mkdirSync(join(root, "out"), { recursive: true }); // inside the repository, where `pagewire` is the package itself
const dir = mkdtempSync(join(root, "out/samples-"));
test.after(() => rmSync(dir, { recursive: true, force: true }));
const path = ({ where }, extension) => join(dir, `${where.replaceAll(/\W/g, "_")}.${extension}`);

function node(args, env = {}) {
  const ran = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 60_000, env: { ...process.env, ...env } });
  assert.equal(ran.status, 0, `${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

test("every sample is of a known kind, and the documents have samples", () => {
  for (const { where, kind } of all) {
    assert.ok(["ts", "ts check", "js run"].includes(kind) || unread.has(kind), `${where}: a sample of kind "${kind}"`);
  }
  for (const file of ["README.md", "docs/guides/node.md"]) assert.ok(samples(file).length > 0, file);
});

for (const sample of all.filter(({ kind }) => kind === "js run")) {
  test(`${sample.where} runs, and prints what it says`, async () => {
    const server = await startServer();
    try {
      writeFileSync(path(sample, "mjs"), sample.source);
      const printed = node([path(sample, "mjs")], { PAGEWIRE_URL: server.url });
      for (const { 1: said } of sample.source.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)) {
        assert.ok(printed.split("\n").includes(said), `it says ${said}, but printed:\n${printed}`);
      }
    } finally {
      await server.stop();
    }
  });
}

// A sample of README shows the whole interface with an imagined server, so it is compiled, and run with the real one's address.
const typed = all.filter(({ kind }) => kind.startsWith("ts"));
test("the TypeScript samples compile", () => {
  for (const sample of typed) writeFileSync(path(sample, "mts"), sample.source);
  const compilerOptions = {
    ...{ target: "es2022", lib: ["es2022", "esnext.disposable"], module: "nodenext", strict: true, types: ["node"] },
    skipLibCheck: true,
  };
  writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.mts"] }));
  node([join(root, "node_modules/typescript/bin/tsc"), "-p", dir]);
});

for (const sample of typed.filter(({ where, kind }) => where.startsWith("README.md") && kind === "ts")) {
  test(`${sample.where} runs`, async () => {
    const token = "token-of-the-samples";
    const server = await startServer({ token });
    try {
      const source = readFileSync(path(sample, "mjs"), "utf8").replaceAll("ws://127.0.0.1:6420", server.url);
      writeFileSync(path(sample, "mjs"), source);
      node([path(sample, "mjs")], { TOKEN: token });
    } finally {
      await server.stop();
    }
  });
}
