// Installs what `make pack` made into empty projects, as users would, and runs a real program there: node test/installed/main.mjs
// Prints a table; ends with 1 if anything failed. --only WORD runs the checks whose name holds the word.

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundles } from "./bundles.mjs";
import { emulated } from "./emulated.mjs";
import { check, NotHere, print, run, runProgram } from "./matrix.mjs";
import { startRegistry } from "./registry.mjs";
import { types } from "./types.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const work = join(root, "out/smoke");
const tools = join(here, "node_modules");
const node = process.execPath;
const { values } = parseArgs({
  options: { only: { type: "string" }, quick: { type: "boolean" }, published: { type: "boolean" } },
});

for (const need of [tools, ...(values.published ? [] : [join(root, "dist/packages.json")])]) {
  if (!existsSync(need)) throw new Error(`${need} is missing: make pack && make smoke`);
}
const packed = (target) =>
  values.published || readFileSync(join(root, "dist/packages.json"), "utf8").includes(`"@pagewire/${target}"`);
// --published tries what npm has, with the machine's own settings, instead of what is in dist/.
const registry = values.published ? undefined : await startRegistry(root);

/** An empty project; `extra` goes into its package.json. */
function project(name, extra = {}) {
  const dir = join(work, name);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "package.json"), JSON.stringify({ name, version: "1.0.0", private: true, ...extra }));
  // Caches of their own: a version that was packed again must not be taken from the user's.
  writeFileSync(
    join(dir, ".npmrc"),
    `${registry ? `registry=${registry.url}/\n` : ""}cache=${join(dir, ".cache")}\nstore-dir=${join(dir, ".store")}\n`,
  );
  cpSync(join(here, "program.mjs"), join(dir, "program.mjs"));
  return dir;
}

const env = (dir) => ({
  ...(registry && { npm_config_registry: `${registry.url}/`, YARN_NPM_REGISTRY_SERVER: registry.url }),
  YARN_UNSAFE_HTTP_WHITELIST: "127.0.0.1",
  YARN_ENABLE_TELEMETRY: "0",
  YARN_NPM_MINIMAL_AGE_GATE: "0", // what was packed just now is to be installed
  YARN_ENABLE_GLOBAL_CACHE: "false",
  YARN_GLOBAL_FOLDER: join(dir, ".yarn-global"), // another would know what was packed before under the same version
  YARN_CACHE_FOLDER: join(dir, ".yarn-cache"),
  YARN_ENABLE_IMMUTABLE_INSTALLS: "false",
});
const noScripts = ["--ignore-scripts"];
const wanted = (what) => values.only === undefined || what.includes(values.only);
const trying = (area, what, body) => (wanted(`${area} ${what}`) ? check(area, what, body) : undefined);

const npmDir = project("npm");
await check("install", "npm", async () => {
  await run("npm", ["install", "--no-audit", "--no-fund", ...noScripts, "pagewire"], { cwd: npmDir, env: env(npmDir) });
  return runProgram(node, ["program.mjs"], { cwd: npmDir });
});
await trying("install", "npm, --omit=optional", async () => {
  const dir = project("omitted");
  const without = ["--omit=optional", ...noScripts];
  await run("npm", ["install", "--no-audit", "--no-fund", ...without, "pagewire"], { cwd: dir, env: env(dir) });
  const program =
    'require("pagewire").connect({ url: "ws://127.0.0.1:1" }).catch((e) => console.log(e.code, e.message))';
  const told = await run(node, ["-e", program], { cwd: dir });
  if (!/^library_not_loaded .*\n- optional_dependency_missing: /.test(told)) throw new Error(`it says: ${told}`);
  return "refused with optional_dependency_missing and its fix";
});
await trying("command", "npx pagewire serve", async () => {
  await run(
    "npx",
    ["--no-install", "pagewire", "serve", "--ephemeral", "--listen", "127.0.0.1:0", "--exit-with-stdin"],
    { cwd: npmDir, input: "" },
  );
  return run("npx", ["--no-install", "pagewire", "version"], { cwd: npmDir });
});

if (!values.quick) {
  await trying("install", "pnpm", async () => {
    const dir = project("pnpm");
    const pnpm = join(tools, "pnpm/bin/pnpm.cjs");
    await run(node, [pnpm, "add", ...noScripts, "pagewire"], { cwd: dir, env: env(dir) });
    return runProgram(node, ["program.mjs"], { cwd: dir });
  });
  await trying("install", "yarn 1", async () => {
    const dir = project("yarn1");
    await run(node, [join(tools, "yarn/bin/yarn.js"), "add", ...noScripts, "pagewire"], { cwd: dir, env: env(dir) });
    return runProgram(node, ["program.mjs"], { cwd: dir });
  });
  for (const linker of ["node-modules", "pnp"]) {
    await trying("install", `yarn 4, ${linker}`, async () => {
      const dir = project(`yarn4-${linker}`);
      const yarn = join(tools, "@yarnpkg/cli-dist/bin/yarn.js");
      writeFileSync(join(dir, "yarn.lock"), "");
      const all = { cwd: dir, env: { ...env(dir), YARN_NODE_LINKER: linker } };
      await run(node, [yarn, "add", "pagewire"], all);
      return runProgram(node, [yarn, "node", "program.mjs"], all);
    });
  }
  for (const major of [20, 22, 24, 26]) {
    await trying("runtime", `Node.js ${major}`, () => {
      const other = join(tools, `node-${major}/bin/node`);
      if (!existsSync(other)) throw new NotHere("npm has Node.js itself for Linux on x64 only");
      return runProgram(other, ["program.mjs"], { cwd: npmDir });
    });
  }
  await trying("runtime", "Bun", () => runProgram(join(tools, ".bin/bun"), ["program.mjs"], { cwd: npmDir }));
  await trying("runtime", "Deno", () =>
    runProgram(join(tools, ".bin/deno"), ["run", "--allow-all", "program.mjs"], { cwd: npmDir }),
  );
}
await types({ trying, tools, root, npmDir });
if (!values.quick) {
  await bundles({ trying, tools, npmDir, work });
  await emulated({ trying, project, env, work, packed });
}
registry?.close();
process.exitCode = print() > 0 ? 1 : 0;
