// The samples of the guide: the first is compiled and hosts its actors, the others are compiled with what they leave out.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { World } from "../harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const guide = readFileSync(join(here, "../../../docs/rivetkit.md"), "utf8");
const [start, hooks, drizzle, ...more] = [...guide.matchAll(/^```ts\n(.*?)^```$/gms)].map(({ 1: source }) => source);

// Beside the packages that the samples import.
const modules = join(here, "../node_modules");
mkdirSync(modules, { recursive: true });
const dir = mkdtempSync(join(modules, ".guide-"));
test.after(() => rmSync(dir, { recursive: true, force: true }));

test("the samples compile", () => {
  assert.deepEqual(more, [], "a sample that is not tried");
  const provider = 'import { pagewire } from "pagewire/rivetkit";\n';
  const files = {
    "start.mts": start.replace('"ws://127.0.0.1:6420"', "process.env.PAGEWIRE_URL!"),
    "hooks.mts": `import { actor } from "rivetkit";\n${provider}const db = pagewire({ url: "ws://127.0.0.1:6420" });\nactor({ db, ${hooks} actions: {} });\n`,
    "drizzle.mts": `${provider}${drizzle.replaceAll('.js"', '.mjs"')}void db;\n`,
    "schema.mts":
      'import { integer, sqliteTable } from "drizzle-orm/sqlite-core";\nexport const notes = sqliteTable("notes", { id: integer("id") });\n',
    "drizzle/migrations.mts": "export default { journal: {}, migrations: {} };\n",
  };
  mkdirSync(join(dir, "drizzle"));
  for (const [name, source] of Object.entries(files)) writeFileSync(join(dir, name), source);
  const { compilerOptions } = JSON.parse(readFileSync(join(here, "../types/tsconfig.json"), "utf8"));
  const typeRoots = [join(here, "../../../node_modules/@types")];
  Object.assign(compilerOptions, { noEmit: false, noEmitOnError: true, typeRoots });
  writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["**/*.mts"] }));
  const tsc = join(here, "../../../node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", dir], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("the first sample hosts its actors", async () => {
  const program = join(dir, "host.mjs");
  const host =
    'import "./start.mjs";\nprocess.on("disconnect", () => process.exit());\nprocess.send({ event: "started" });\n';
  writeFileSync(program, host);
  const world = new World("rivetkit", pathToFileURL(program));
  try {
    await world.start();
    const notebook = world.actor("notebook", "one");
    await notebook.replace(["first", "second"]);
    const [{ id }] = await notebook.add("third");
    assert.deepEqual((await notebook.all()).at(-1), { id, text: "third" });
    assert.equal((await notebook.all()).length, 3);
  } finally {
    await world.stop();
  }
});
