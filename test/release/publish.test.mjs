// scripts/publish, against a registry on loopback: what it refuses, in which order it publishes, and how it goes on.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const platforms = readdirSync(join(root, "npm")).map((target) => `@pagewire/${target}`);
const unix = { skip: process.platform === "win32" && "releases are published from Linux" };

/** A registry that keeps what is published, and refuses the publication with that number. */
async function registry(t, { refuse } = {}) {
  const packages = new Map();
  const order = [];
  let attempts = 0;
  const server = createServer(async (request, response) => {
    const name = decodeURIComponent(request.url.slice(1)).split("?")[0];
    const answer = (status, body) => response.writeHead(status).end(JSON.stringify(body));
    if (request.method !== "PUT")
      return packages.has(name) ? answer(200, packages.get(name)) : answer(404, { error: "not found" });
    const sent = JSON.parse(Buffer.concat(await request.toArray()).toString());
    if (++attempts === refuse) return answer(403, { error: "not now" });
    packages.set(name, { ...sent, versions: { ...packages.get(name)?.versions, ...sent.versions } });
    order.push(name);
    return answer(201, { ok: true });
  });
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { url: `http://127.0.0.1:${server.address().port}/`, packages, order };
}

/** A directory with what the script reads: the manifests, and dist/ as `make pack` leaves it, the native files left out. */
function release(t, names = [...platforms, "pagewire"]) {
  const dir = mkdtempSync(join(tmpdir(), "pagewire-publish-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const dist = join(dir, "dist");
  mkdirSync(dist);
  cpSync(join(root, "npm"), join(dir, "npm"), { recursive: true });
  cpSync(join(root, "scripts/publish"), join(dir, "scripts/publish"));
  const packed = names.map((name) => {
    const source = name === "pagewire" ? root : join(root, "npm", name.split("/")[1]);
    const manifest = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
    const home = join(dir, "stage/package");
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, "package.json"), JSON.stringify({ ...manifest, scripts: {} }));
    const file = `${name.replace("@", "").replace("/", "-")}-${version}.tgz`;
    execFileSync("tar", ["-czf", join(dist, file), "-C", join(dir, "stage"), "package"]);
    return { name, version, file };
  });
  const sum = ({ file }) =>
    createHash("sha256")
      .update(readFileSync(join(dist, file)))
      .digest("hex");
  writeFileSync(join(dist, "packages.json"), JSON.stringify(packed));
  writeFileSync(join(dist, "SHA256SUMS"), packed.map((entry) => `${sum(entry)}  ${entry.file}\n`).join(""));
  return dir;
}

/** Runs the script as a person would, by hand. Resolves to its status and all it printed. */
function publish(dir, { url }) {
  const config = join(dir, "npmrc");
  writeFileSync(
    config,
    `registry=${url}\n${url.slice("http:".length)}:_authToken=t\nfetch-retries=0\ncache=${dir}/cache\n`,
  );
  const { GITHUB_ACTIONS: _, ...env } = process.env;
  Object.assign(env, { npm_config_userconfig: config, npm_config_registry: url, npm_config_update_notifier: "false" });
  return new Promise((resolve) => {
    execFile("bash", [join(dir, "scripts/publish")], { env, timeout: 120_000 }, (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, told: stdout + stderr }),
    );
  });
}

test("platforms are published first and pagewire last, and what broke off goes on where it was", unix, async (t) => {
  const npm = await registry(t, { refuse: 3 });
  npm.packages.set("pagewire", {
    name: "pagewire",
    "dist-tags": { latest: "0.0.1" },
    versions: { "0.0.1": { name: "pagewire", version: "0.0.1", dist: {} } },
  });
  const dir = release(t);
  const broken = await publish(dir, npm);
  assert.notEqual(broken.status, 0, broken.told);
  assert.equal(npm.order.length, 2, broken.told);
  const resumed = await publish(dir, npm);
  assert.equal(resumed.status, 0, resumed.told);
  assert.deepEqual(npm.order, [...platforms, "pagewire"]);
  assert.equal(resumed.told.match(/is published already/g).length, 2);
  for (const name of npm.order) assert.ok(npm.packages.get(name).versions[version], name);
});

test("nothing is published while a platform's package is missing", unix, async (t) => {
  const npm = await registry(t);
  const { status, told } = await publish(release(t, [...platforms.slice(1), "pagewire"]), npm);
  assert.equal(status, 1, told);
  assert.match(told, /does not have all 5 platform packages/);
  assert.deepEqual(npm.order, []);
});

test("nothing is published if a file is not the one that was packed", unix, async (t) => {
  const npm = await registry(t);
  const dir = release(t);
  writeFileSync(join(dir, `dist/pagewire-${version}.tgz`), "changed");
  const { status, told } = await publish(dir, npm);
  assert.notEqual(status, 0);
  assert.match(told, /pagewire-.*FAILED/);
  assert.deepEqual(npm.order, []);
});
