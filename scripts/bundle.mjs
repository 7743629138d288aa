// Joins what tsc has compiled into few files, which a process reads faster than thirty, and none of which is compiled before
// it is needed: dist/index.js has what connecting needs besides the exports; what a module requires within a function comes
// in a file named after it, with what that needs besides. The other entries stay as they are. All find the joined modules
// through load(), so there is one of each; the declarations stay as they are too.

import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const dist = fileURLToPath(new URL("../dist", import.meta.url));
const read = (name) => readFileSync(join(dist, name), "utf8");
const write = (name, text) => writeFileSync(join(dist, name), text);
const entry = "index.js";
const atOnce = /^(?:const|var) \w+ = require\("\.\/([^"]+)"\);$/gm;
const anywhere = /\brequire\("\.\/([^"]+)"\)/g;
const requiredBy = (name, how) => [...read(name).matchAll(how)].map(([, other]) => other);

// The file that each module comes in: that of the first root which needs it. What connecting needs comes with the entry.
const fileOf = new Map();
const roots = new Map([["connect.js", entry]]);
for (const [root, file] of roots) {
  if (fileOf.has(root)) continue;
  const joined = new Set([root]);
  for (const name of joined) {
    fileOf.set(name, file);
    for (const other of requiredBy(name, atOnce)) if (!fileOf.has(other)) joined.add(other);
  }
  for (const name of joined)
    for (const other of requiredBy(name, anywhere)) roots.set(other, roots.get(other) ?? other);
}

// Where a file's modules are found from other files. It is no export of the package, so the entry has it under a symbol.
const registry = `Symbol.for("pagewire.modules")`;
const registryOf = (file) => (file === entry ? `require("./${entry}")[${registry}]` : `require("./${file}")`);

// Whatever is in another file is required by a literal, for bundlers to see.
const toLoad = (text, from) =>
  text.replace(anywhere, (call, name) => {
    const file = fileOf.get(name);
    if (file === undefined) return call;
    return `${file === from ? "" : `${registryOf(file)}.`}load("${name}")`;
  });

// A function in parentheses is compiled at once, and not first skimmed, as it is to be called anyway.
function joined(file) {
  const functions = [...fileOf.keys()]
    .filter((name) => fileOf.get(name) === file)
    .map((name) => `"${name}": (function (exports) {\n${toLoad(read(name), file).replace('"use strict";\n', "")}}),\n`);
  return `add({\n${functions.join("")}});\n`;
}

const loader = `const modules = new Map();
const loaded = new Map();
function add(more) {
  for (const name of Object.keys(more)) modules.set(name, more[name]);
}
function load(name) {
  let exports = loaded.get(name);
  if (exports === undefined) {
    exports = {};
    loaded.set(name, exports);
    modules.get(name)(exports);
  }
  return exports;
}
Object.defineProperty(exports, ${registry}, { value: { add, load } });
`;

// A getter for each export, so that what is not asked for is not compiled. import needs their names, which Node.js, Deno and
// bundlers find where a CommonJS module assigns them.
function exported() {
  const whole = require(join(dist, entry));
  const names = Object.keys(whole);
  const sources = requiredBy(entry, atOnce);
  const getters = names.map((name) => {
    const source = sources.find((module) => require(join(dist, module))[name] === whole[name]);
    return `  ${name}: () => ${toLoad(`require("./${source}")`, entry)}.${name},\n`;
  });
  return `${names.map((name) => `exports.${name} = `).join("")}void 0;
const getters = {
${getters.join("")}};
for (const name of Object.keys(getters)) Object.defineProperty(exports, name, { enumerable: true, get: getters[name] });
`;
}

const useLoader = `const { add, load } = ${registryOf(entry)};\nexports.load = load;\n`;
const made = new Map();
for (const file of new Set(fileOf.values()))
  made.set(file, `"use strict";\n${file === entry ? loader + exported() : useLoader}${joined(file)}`);
for (const name of readdirSync(dist).filter((file) => file.endsWith(".js"))) {
  if (!made.has(name) && !fileOf.has(name)) made.set(name, toLoad(read(name)));
}
for (const name of fileOf.keys()) if (!made.has(name)) rmSync(join(dist, name));
for (const [name, text] of made) write(name, text);
