// How the native files are found in an installed package, and what is said when they cannot be loaded. Each failure is made
// in a node_modules of its own, as npm would leave it, and seen by a process of its own.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const names = { darwin: "libpagewire.dylib", win32: "libpagewire.dll" };
const library = names[process.platform] ?? "libpagewire.so";
const exe = process.platform === "win32" ? "pagewire.exe" : "pagewire";
const here = `${process.platform}-${process.arch}${process.platform === "linux" ? "-gnu" : ""}`;
const elsewhere = here === "linux-arm64-gnu" ? "linux-x64-gnu" : "linux-arm64-gnu";
const built = {
  "pagewire.node": join(root, "build/Release/pagewire.node"),
  [library]: join(root, "out", library),
  [exe]: join(root, "out", exe),
};

/** An empty project where pagewire's own package is installed, without any platform's. */
function project(t) {
  const dir = mkdtempSync(join(tmpdir(), "pagewire-loader-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const home = join(dir, "node_modules/pagewire");
  mkdirSync(home, { recursive: true });
  cpSync(join(root, "dist"), join(home, "dist"), { recursive: true, filter: (path) => !path.endsWith(".tgz") });
  cpSync(join(root, "package.json"), join(home, "package.json"));
  return dir;
}

/** Installs a platform's package with these files, a Buffer or the path of what is linked each. Returns its directory. */
function install(dir, target, files, change = {}) {
  const home = join(dir, "node_modules/@pagewire", target);
  mkdirSync(home, { recursive: true });
  cpSync(join(root, "npm", target, "index.js"), join(home, "index.js"));
  const manifest = JSON.parse(readFileSync(join(root, "npm", target, "package.json"), "utf8"));
  writeFileSync(join(home, "package.json"), JSON.stringify({ ...manifest, ...change }));
  put(home, files);
  return home;
}

function put(home, files) {
  for (const [name, file] of Object.entries(files)) {
    if (typeof file === "string") symlinkSync(file, join(home, name));
    else writeFileSync(join(home, name), file);
  }
}

const program = `
  const { connect } = require("pagewire");
  const { startServer } = require("pagewire/server");
  async function main() {
    const server = await startServer();
    const channel = await connect({ url: server.url });
    const db = await channel.open("a");
    await db.exec("CREATE TABLE t (v)");
    await channel.close();
    await server.stop();
    return { loaded: true };
  }
  const failed = (e) => ({
    code: e.code, message: e.message,
    causes: e.cause?.errors?.map((c) => ({ code: c.code, message: c.message, fix: c.fix })),
  });
  // Loading the addon is what fails, but for the program, which the server needs first.
  connect({ url: "ws://127.0.0.1:1", timeout: 5_000 }).catch((e) => e.code === "library_not_loaded" ? failed(e) : main().catch(failed))
    .then((result) => console.log(JSON.stringify(result)));
`;

/** Runs the program in the project. `pretend` is JavaScript that runs before it, `args` are Node's. */
function run(dir, { args = [], pretend = "", env = {} } = {}) {
  writeFileSync(join(dir, "program.cjs"), `${pretend}\n${program}`);
  const ran = spawnSync(process.execPath, [...args, "program.cjs"], {
    cwd: dir,
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, NODE_OPTIONS: "", ...env },
  });
  assert.equal(ran.status, 0, ran.stderr);
  return JSON.parse(ran.stdout);
}

/** Holds a failure against what is expected: the cause's code, and what its message and its fix must say. */
function assertCause(result, code, message, fix) {
  assert.equal(result.code, "library_not_loaded", JSON.stringify(result));
  assert.deepEqual(
    result.causes.map((cause) => cause.code),
    [code],
    result.message,
  );
  assert.match(result.causes[0].message, message);
  assert.match(result.causes[0].fix, fix);
  for (const part of [code, result.causes[0].message, result.causes[0].fix]) assert.ok(result.message.includes(part));
}

const platform = (name, arch) => `
  Object.defineProperty(process, "platform", { value: "${name}" });
  Object.defineProperty(process, "arch", { value: "${arch}" });`;
const report = (header) => `process.report.getReport = () => (${JSON.stringify({ header })});`;
const linux = { skip: process.platform !== "linux" && "made with Linux's loader" };

test("the platform's package is loaded", (t) => {
  const dir = project(t);
  install(dir, here, built);
  assert.deepEqual(run(dir), { loaded: true });
});

test("requiring the package exports what it should, and reads no more of it than connecting needs", () => {
  const code = `
    const pagewire = require(${JSON.stringify(join(root, "dist/index.js"))});
    const read = () => Object.keys(require.cache).map((path) => require("node:path").basename(path));
    const names = Object.keys(pagewire).sort();
    const { connectSync } = pagewire;
    let failure;
    try { connectSync({ url: "http://" }); } catch (error) { failure = error; }
    const first = read();
    const isOne = failure instanceof pagewire.PagewireError && pagewire.Database.name === "Database";
    console.log(JSON.stringify({ names, code: failure.code, first, isOne, later: read() }));`;
  const ran = spawnSync(process.execPath, ["-e", code], { encoding: "utf8", timeout: 60_000 });
  assert.equal(ran.status, 0, ran.stderr);
  assert.deepEqual(JSON.parse(ran.stdout), {
    names: ["Channel", "Database", "Kv", "PagewireError", "Statement", "Transaction", "connect", "connectSync"],
    code: "invalid_url",
    first: ["index.js"],
    isOne: true,
    later: ["index.js", "channel.js"],
  });
});

// Test runners that keep a set of modules for each file, and dependencies that bring their own copy.
test("two copies of the package in one process use the library side by side", (t) => {
  const copies = [project(t), project(t)].map((dir) => join(dir, "node_modules/pagewire/dist"));
  const code = `
    const [one, other] = ${JSON.stringify(copies)}.map((dist) => require(dist + "/index.js"));
    async function main() {
      const server = await require(${JSON.stringify(`${copies[0]}/server.js`)}).startServer();
      const channels = await Promise.all([one, other].map((copy) => copy.connect({ url: server.url })));
      const databases = await Promise.all(channels.map((channel, i) => channel.open("a" + i)));
      const sums = await Promise.all(databases.map((db, i) => db.get("SELECT ? + 1 AS sum", [i])));
      const refused = await channels[1].open("a0").catch((error) => error);
      console.log(JSON.stringify({ sums, own: refused instanceof other.PagewireError, code: refused.code }));
      await Promise.all(channels.map((channel) => channel.close()));
      await server.stop();
    }
    main();`;
  const native = project(t);
  put(native, built);
  const env = { ...process.env, PAGEWIRE_NATIVE_DIR: native };
  const ran = spawnSync(process.execPath, ["-e", code], { encoding: "utf8", timeout: 60_000, env });
  assert.equal(ran.status, 0, ran.stderr);
  assert.deepEqual(JSON.parse(ran.stdout), { sums: [{ sum: 1 }, { sum: 2 }], own: true, code: "actor_locked" });
});

test("a build beside the package is loaded, after the platform's package failed", (t) => {
  const dir = project(t);
  const home = join(dir, "node_modules/pagewire");
  mkdirSync(join(home, "build/Release"), { recursive: true });
  mkdirSync(join(home, "out"));
  put(join(home, "build/Release"), { "pagewire.node": built["pagewire.node"] });
  put(join(home, "out"), { [library]: built[library], [exe]: built[exe] });
  assert.deepEqual(run(dir), { loaded: true });
});

test("PAGEWIRE_NATIVE_DIR comes before everything, and nothing after it", (t) => {
  const dir = project(t);
  const good = join(dir, "good");
  mkdirSync(good);
  put(good, built);
  assert.deepEqual(run(dir, { env: { PAGEWIRE_NATIVE_DIR: good } }), { loaded: true });
  install(dir, here, built);
  const result = run(dir, { env: { PAGEWIRE_NATIVE_DIR: join(dir, "nowhere") } });
  assertCause(result, "file_missing", /nowhere.pagewire\.node is missing/, /Install @pagewire/);
  assert.match(result.message, /PAGEWIRE_NATIVE_DIR is set, so only .*nowhere was looked in: unset it/);
});

test("optional dependencies were left out", (t) => {
  assertCause(run(project(t)), "optional_dependency_missing", new RegExp(`@pagewire/${here}`), /--omit=optional/);
});

test("node_modules of another platform", (t) => {
  const dir = project(t);
  install(dir, elsewhere, {});
  assertCause(run(dir), "wrong_platform", new RegExp(`@pagewire/${elsewhere} is installed`), /node_modules/);
});

for (const [where, pretend, installed, fix] of [
  ["Docker on a Mac", platform("linux", "arm64"), "darwin-arm64", /\.dockerignore/],
  ["Rosetta", platform("darwin", "x64"), "darwin-arm64", /Rosetta/],
  ["WSL's node_modules under Windows", platform("win32", "x64"), "linux-x64-gnu", /WSL/],
]) {
  test(`wrong platform: ${where}`, (t) => {
    const dir = project(t);
    install(dir, installed, {});
    const pretended = pretend + report({ glibcVersionRuntime: "2.36" });
    assertCause(
      run(dir, { pretend: pretended }),
      "wrong_platform",
      new RegExp(`@pagewire/${installed} is installed`),
      fix,
    );
  });
}

test("a file of another machine under this platform's name", linux, (t) => {
  const dir = project(t);
  const strange = Buffer.from(readFileSync(built["pagewire.node"]));
  strange.writeUInt16LE(process.arch === "x64" ? 183 : 62, 18); // e_machine
  install(dir, here, { ...built, "pagewire.node": strange });
  assertCause(run(dir), "wrong_platform", /is for linux-(x64|arm64), but this process is/, /node_modules/);
});

test("no package for this kind of machine", (t) => {
  const result = run(project(t), { pretend: platform("freebsd", "riscv64") });
  assertCause(result, "unsupported_platform", /freebsd-riscv64/, /sources/);
});

test("musl: glibc images are named", linux, (t) => {
  const pretend = report({});
  const none = project(t);
  assertCause(run(none, { pretend }), "musl", /Alpine/, /node:22-slim/);
  const installed = project(t);
  install(installed, here, { ...built, [library]: Buffer.from("no library that musl could load") });
  assertCause(run(installed, { pretend }), "musl", /Alpine/, /node:22-slim/);
});

test("a glibc that is too old", linux, (t) => {
  const dir = project(t);
  const source = readFileSync(built[library]);
  const symbol = /GLIBC_2\.[0-9]+/.exec(source.toString("latin1"))[0];
  const newer = Buffer.from(source);
  newer.write("GLIBC_9.99999".slice(0, symbol.length), source.indexOf(symbol), "latin1");
  install(dir, here, { ...built, [library]: newer });
  assertCause(run(dir), "glibc_too_old", /glibc 9\.9[0-9.]* is needed, but this system's is 2\./, /node:22-bookworm/);
});

test("a platform package of another version", (t) => {
  const dir = project(t);
  install(dir, here, built, { version: "9.9.9" });
  assertCause(run(dir), "version_mismatch", new RegExp(`pagewire is ${version}.*is 9\\.9\\.9`), /same version/);
});

test("--no-addons", (t) => {
  const dir = project(t);
  install(dir, here, built);
  const result = run(dir, { args: ["--no-addons"] });
  assertCause(result, "addons_disabled", /may not load addons/, /--no-addons/);
  assert.doesNotMatch(result.message, /\.\./);
});

test("a package without one of its files", (t) => {
  const dir = project(t);
  const { [library]: _, ...rest } = built;
  install(dir, here, rest);
  assertCause(run(dir), "file_missing", new RegExp(`${library.replace(".", "\\.")} is missing`), /Install @pagewire/);
});

test("a file that is none of a loader's", (t) => {
  const dir = project(t);
  install(dir, here, { ...built, "pagewire.node": Buffer.from("404 Not Found") });
  assertCause(run(dir), "load_failed", /pagewire\.node/, /install again/);
});

test("every failure is told when several places fail", (t) => {
  const dir = project(t);
  mkdirSync(join(dir, "node_modules/pagewire/build/Release"), { recursive: true });
  put(join(dir, "node_modules/pagewire/build/Release"), { "pagewire.node": Buffer.from("half a build") });
  const result = run(dir);
  assert.deepEqual(
    result.causes.map((cause) => cause.code),
    ["file_missing", "optional_dependency_missing"],
  );
  for (const cause of result.causes) assert.ok(result.message.includes(cause.fix));
});

test("the installed command runs the program, with its arguments and its exit code", (t) => {
  const dir = project(t);
  install(dir, here, built);
  const cli = join(dir, "node_modules/pagewire/dist/cli.js");
  const told = spawnSync(process.execPath, [cli, "version"], { encoding: "utf8" });
  assert.equal(told.status, 0, told.stderr);
  assert.match(told.stdout, new RegExp(`^pagewire ${version.replaceAll(".", "\\.")} `));
  const refused = spawnSync(process.execPath, [cli, "serve", "--no-such-flag"], { encoding: "utf8" });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /no-such-flag/);
  const nothing = spawnSync(process.execPath, [join(project(t), "node_modules/pagewire/dist/cli.js"), "version"], {
    encoding: "utf8",
  });
  assert.equal(nothing.status, 1);
  assert.match(nothing.stderr, /optional_dependency_missing/);
});
