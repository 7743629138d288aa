// Builds and packs the npm packages: node scripts/pack.mjs [--prebuilt DIR] [target...]
// Without targets, every one that this machine can build. The tarballs go into dist/, with their SHA-256 sums (SHA256SUMS) and
// sizes (packages.json). With --prebuilt, the files are taken from DIR/TARGET, where scripts/build-target left them elsewhere.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const stage = join(root, "out/npm");
const read = (file) => JSON.parse(readFileSync(file, "utf8"));
const write = (file, value) => writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
const { repository } = read(join(root, "package.json"));
const all = readdirSync(join(root, "npm")).sort();

function fail(message) {
  console.error(`pack: ${message}`);
  process.exit(1);
}

function run(command, args, cwd = root) {
  // npm is a batch file on Windows.
  const ran = spawnSync(command, args, {
    cwd,
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (ran.error) fail(`${command} could not be started: ${ran.error.message}`);
  return { status: ran.status, output: ran.stdout };
}

/** Builds a target's files; false if this machine cannot, which scripts/build-target says with exit code 3. */
function build(target) {
  const { status, output } = run("bash", ["scripts/build-target", target]);
  process.stdout.write(output);
  if (status !== 0 && status !== 3) fail(`${target} could not be built`);
  return status === 0;
}

/** Copies what the manifest's `files` names into a clean directory, and refuses if one is missing or empty. */
function stagePlatform(target, from) {
  const source = join(root, "npm", target);
  const manifest = read(join(source, "package.json"));
  const dir = join(stage, target);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  for (const name of manifest.files) {
    const file = [join(source, name), join(from, target, name)].find(existsSync);
    if (file === undefined || statSync(file).size === 0)
      fail(`${manifest.name}: ${join(from, target, name)} is missing or empty`);
    cpSync(file, join(dir, name));
    chmodSync(join(dir, name), /^pagewire(\.exe)?$/.test(name) ? 0o755 : 0o644);
  }
  write(join(dir, "package.json"), { ...manifest, repository }); // npm holds the provenance against it
  finish(dir, `# ${manifest.name}\n\n${manifest.description}. Install \`pagewire\`, which brings it along.\n`);
  return dir;
}

/** The main package, with the exact versions of the platforms' packages. What only a checkout needs is left out. */
function stageMain() {
  const { devDependencies, scripts, gypfile, ...manifest } = read(join(root, "package.json"));
  for (const hook of ["preinstall", "install", "postinstall", "prepare"]) {
    if (scripts[hook] !== undefined) fail(`package.json has an install script, ${hook}`);
  }
  if (Object.keys(manifest.dependencies ?? {}).length > 0) fail("package.json has runtime dependencies");
  const dir = join(stage, "pagewire");
  rmSync(dir, { recursive: true, force: true });
  const compiled = (path) => statSync(path).isDirectory() || /\.(m?js|d\.m?ts)$|[\\/]package\.json$/.test(path);
  cpSync(dist, join(dir, "dist"), { recursive: true, filter: compiled });
  if (!existsSync(join(dir, "dist/index.js"))) fail("dist/index.js is missing: make build");
  const versions = all.map((target) => [`@pagewire/${target}`, manifest.version]);
  write(join(dir, "package.json"), { ...manifest, optionalDependencies: Object.fromEntries(versions) });
  finish(dir, readFileSync(join(root, "README.md")));
  return dir;
}

function finish(dir, readme) {
  writeFileSync(join(dir, "README.md"), readme);
  cpSync(join(root, "LICENSE"), join(dir, "LICENSE"));
}

/** Packs a staged directory into dist/. Returns what is known about the tarball. */
function pack(dir) {
  const { status, output } = run("npm", ["pack", "--json", "--silent", "--pack-destination", dist], dir);
  if (status !== 0) fail(`npm could not pack ${dir}`);
  const told = JSON.parse(output);
  const { name, version, filename, unpackedSize, files } = Array.isArray(told) ? told[0] : Object.values(told)[0];
  const file = filename.replace("@", "").replaceAll("/", "-");
  const wanted = read(join(dir, "package.json")).files.filter((path) => !path.startsWith("dist"));
  for (const path of wanted)
    if (!files.some((packed) => packed.path === path)) fail(`${file} was packed without ${path}`);
  const bytes = readFileSync(join(dist, file));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { name, version, file, bytes: bytes.length, unpackedBytes: unpackedSize, sha256 };
}

const { values, positionals } = parseArgs({ options: { prebuilt: { type: "string" } }, allowPositionals: true });
const asked = positionals.length > 0 ? positionals : all;
for (const target of asked) if (!all.includes(target)) fail(`no target ${target}; there are: ${all.join(", ")}`);
const targets = values.prebuilt ? asked : asked.filter(build);
const left = asked.filter((target) => !targets.includes(target));
if (positionals.length > 0 && left.length > 0) fail(`this machine cannot build ${left.join(", ")}`);
if (targets.length === 0) fail("this machine can build no target");

mkdirSync(dist, { recursive: true });
for (const old of readdirSync(dist)) if (old.endsWith(".tgz")) rmSync(join(dist, old));
const from = values.prebuilt ?? join(root, "out/targets");
const packages = [...targets.map((target) => stagePlatform(target, from)), stageMain()].map(pack);
write(join(dist, "packages.json"), packages);
writeFileSync(join(dist, "SHA256SUMS"), packages.map(({ sha256, file }) => `${sha256}  ${file}\n`).join(""));
for (const { file, bytes, unpackedBytes, sha256 } of packages) {
  console.log(`dist/${file}  ${bytes} bytes, ${unpackedBytes} unpacked, sha256 ${sha256}`);
}
if (left.length > 0) console.log(`not built here: ${left.join(", ")}`);
