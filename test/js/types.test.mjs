// The types hold for programs that import Pagewire and for those that require it, and both get one library.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import * as imported from "pagewire";
import * as rivetkit from "pagewire/rivetkit";
import * as server from "pagewire/server";

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL("../..", import.meta.url));

test("a strict consumer compiles, as ESM and as CommonJS", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "pagewire-types-"));
  t.after(() => rm(dir, { recursive: true }));
  await mkdir(join(dir, "node_modules"));
  await symlink(root, join(dir, "node_modules", "pagewire"), "dir");
  await symlink(join(root, "node_modules", "@types"), join(dir, "node_modules", "@types"), "dir");
  const consumer = fileURLToPath(new URL("types/consumer.mts", import.meta.url));
  await copyFile(consumer, join(dir, "consumer.mts"));
  await copyFile(consumer, join(dir, "consumer.cts"));
  const compilerOptions = {
    target: "es2022",
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    types: ["node"],
  };
  await writeFile(join(dir, "package.json"), "{}");
  await writeFile(
    join(dir, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["consumer.mts", "consumer.cts"] }),
  );
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", dir], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("import and require share one implementation", () => {
  const required = require("pagewire");
  assert.equal(required.PagewireError, imported.PagewireError);
  assert.equal(require("pagewire/server").startServer, server.startServer);
  assert.equal(require("pagewire/rivetkit").pagewire, rivetkit.pagewire);
  const names = (module) =>
    Object.keys(module)
      .filter((name) => !["default", "module.exports"].includes(name))
      .sort();
  assert.deepEqual(names(imported), names(required));
});
