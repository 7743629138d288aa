// The C programs and addons of the benchmarks, compiled when they are first needed.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const changed = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/**
 * out/NAME, compiled anew if NAME.c or one of the files `beside` it is newer; flags() answers what else cc is told, as
 * text for the shell.
 */
export function compiled(name, end = "", flags = () => "", beside = []) {
  const [source, built] = [path(`${name}.c`), path(`../out/${name}${end}`)];
  const sources = [source, ...beside.map(path)];
  if (sources.some((file) => changed(built) < changed(file))) {
    mkdirSync(path("../out"), { recursive: true });
    const mine = `${built}-${process.pid}`; // others may be running it, or compile it too
    const command = `out=$1; shift; ${process.env.CC ?? "cc"} -O2 -o "$out" "$@" ${flags()}`;
    const given = sources.filter((file) => file.endsWith(".c"));
    const { status, error } = spawnSync("sh", ["-c", command, "sh", mine, ...given], { stdio: ["ignore", 2, 2] });
    if (status !== 0) throw new Error(`${name}.c does not compile (it needs Linux and cc): ${error ?? status}`);
    renameSync(mine, built);
  }
  return built;
}

/** The addon of NAME.c and files beside it, with the headers that node-gyp built Pagewire's bridge with. */
export function addon(name, flags = () => "", beside = []) {
  const all = () => {
    const config = readFileSync(path("../build/config.gypi"), "utf8").replace(/^#.*/, "");
    return `'-I${JSON.parse(config).variables.nodedir}/include/node' -shared -fPIC -lm -lpthread ${flags()}`;
  };
  return createRequire(import.meta.url)(compiled(name, ".node", all, beside));
}
