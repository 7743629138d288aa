// Every code sample of README and the guides is run, compiled or parsed, as its reader would: a sample whose fence says `js
// run` is run against a real server, `ts` is compiled, and of a Dockerfile the program it starts is started; the others must be
// of a known kind. So none can grow stale unseen.

import "../support/alive.mjs";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "pagewire";
import { startServer } from "pagewire/server";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const guides = readdirSync(join(root, "docs/guides")).map((name) => `docs/guides/${name}`);
const files = ["README.md", ...guides.filter((name) => name.endsWith(".md"))];
// Text that no program reads.
const unread = new Set(["text"]);

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
    assert.ok(
      ["ts", "ts check", "js run", "dockerfile"].includes(kind) || unread.has(kind),
      `${where}: a sample of kind "${kind}"`,
    );
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

// Docker itself is not on every machine: the program of an image is started here with the image's settings, on paths and a port of
// the test's own.
const servers = all.filter(({ kind, source }) => kind === "dockerfile" && source.includes("ENTRYPOINT"));
for (const { where, source } of servers) {
  test(`${where} starts a server that drains`, { skip: process.platform === "win32" && "no signals" }, async () => {
    const [program, ...args] = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(source)[1]);
    const [, target, name] = /^node_modules\/@pagewire\/([^/]+)\/(\w+)$/.exec(program);
    const manifest = JSON.parse(readFileSync(join(root, "npm", target, "package.json"), "utf8"));
    assert.ok(manifest.files.includes(name), `${manifest.name} has no ${name}`);
    const secret = join(dir, "secret");
    writeFileSync(secret, "token-of-the-samples");
    const own = { "/data": join(dir, "data"), "0.0.0.0:6420": "127.0.0.1:0", "/run/secrets/pagewire": secret };
    const settings = /^ENV (.*)$/m
      .exec(source)[1]
      .split(" ")
      .map((setting) => setting.split("="));
    const env = Object.fromEntries(settings.map(([setting, value]) => [setting, own[value] ?? value]));
    const server = spawn(join(root, "out", name), args, { env, stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(server, "exit");
    const [url] = await Promise.race([listening(server), exited]);
    const channel = await connect({ url, token: "token-of-the-samples" });
    await channel.close();
    server.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
  });
}

async function listening(server) {
  let said = "";
  for await (const chunk of server.stdout.setEncoding("utf8")) {
    said += chunk;
    const url = /listening on (ws:\S+)\n/.exec(said)?.[1];
    if (url !== undefined) return [url];
  }
  throw new Error(`it ended without listening: ${said}`);
}
