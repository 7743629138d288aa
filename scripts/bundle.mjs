// Joins what tsc has compiled for index.js into one file, dist/modules.js, which a process reads faster than twenty. What
// only the other entries need stays in files of its own. All of them find the joined modules through load(), so there is
// one of each; the declarations stay as they are.

import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const dist = fileURLToPath(new URL("../dist", import.meta.url));
const read = (name) => readFileSync(join(dist, name), "utf8");
const write = (name, text) => writeFileSync(join(dist, name), text);
const required = /\brequire\("\.\/([^"]+)"\)/g;

const joined = new Set(["index.js"]);
for (const name of joined) for (const [, other] of read(name).matchAll(required)) joined.add(other);
// import needs the names of the exports, which Node.js finds where a CommonJS module seems to assign them (0 && ...).
const exported = Object.keys(require(join(dist, "index.js")));

// Joined modules require each other through load(); any other require stays as it is, for bundlers to see. A function in
// parentheses is compiled at once, and not first skimmed, as it is to be called anyway.
const toLoad = (text) => text.replace(required, (call, name) => (joined.has(name) ? `load("${name}")` : call));
const modules = [...joined].map((name) => {
  const text = toLoad(read(name)).replace(/^"use strict";\n/, "");
  return `"${name}": (function (exports) {\n${text}}),\n`;
});

write(
  "modules.js",
  `"use strict";
const modules = {
${modules.join("")}};
const loaded = new Map();
exports.load = load;
function load(name) {
  let exports = loaded.get(name);
  if (exports === undefined) {
    exports = {};
    loaded.set(name, exports);
    modules[name](exports);
  }
  return exports;
}
`,
);
const useLoad = `"use strict";\nconst { load } = require("./modules.js");\n`;
for (const name of readdirSync(dist).filter((file) => file.endsWith(".js") && file !== "modules.js")) {
  if (!joined.has(name)) write(name, toLoad(read(name)).replace(`"use strict";\n`, useLoad));
  else if (name !== "index.js") rmSync(join(dist, name));
}
write(
  "index.js",
  `${useLoad}module.exports = load("index.js");\n0 && (module.exports = { ${exported.join(", ")} });\n`,
);
