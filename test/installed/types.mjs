// The types and the manifest of the packed package, as compilers and checkers see them.

import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./matrix.mjs";

export async function types({ trying, tools, root, npmDir }) {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const program = join(root, "test/installed/program.ts");
  const settings = [
    ["nodenext", "module", { module: "nodenext", moduleResolution: "nodenext" }],
    ["nodenext", "commonjs", { module: "nodenext", moduleResolution: "nodenext" }],
    ["bundler", "module", { module: "esnext", moduleResolution: "bundler" }],
  ];
  for (const [resolution, type, options] of settings) {
    await trying("types", `TypeScript, ${resolution}, ${type}`, async () => {
      const dir = join(npmDir, `types-${resolution}-${type}`);
      mkdirSync(dir, { recursive: true });
      cpSync(program, join(dir, "program.ts"));
      writeFileSync(join(dir, "package.json"), JSON.stringify({ type, private: true }));
      const compilerOptions = {
        ...{
          target: "es2022",
          lib: ["es2022", "esnext.disposable", "dom"],
          strict: true,
          noEmit: true,
          types: ["node"],
        },
        ...{ skipLibCheck: false, typeRoots: [join(root, "node_modules/@types")], ...options },
      };
      writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
      await run(process.execPath, [tsc, "-p", "."], { cwd: dir });
    });
  }
  const packed = join(npmDir, "node_modules/pagewire");
  await trying("types", "publint", async () => {
    const publint = join(tools, "publint/src/cli.js");
    const told = await run(process.execPath, [publint, "run", packed, "--strict"], {});
    return told.split("\n").at(-1);
  });
  await trying("types", "are the types wrong", async () => {
    const file = await run("npm", ["pack", "--silent", "--pack-destination", npmDir], { cwd: packed });
    const tarball = join(npmDir, file);
    await run(
      process.execPath,
      [join(tools, "@arethetypeswrong/cli/dist/index.js"), tarball, "--profile", "node16"],
      {},
    );
  });
}
