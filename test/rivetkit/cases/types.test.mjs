// The provider fits RivetKit's types without depending on them.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

test("a strict program with actors of both versions compiles", () => {
  const tsc = path("../../../node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", path("../types")], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
