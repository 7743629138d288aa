// Server bundles that keep the package external, as native packages are kept: each bundler has a way to say so.

import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { run, runProgram } from "./matrix.mjs";

export async function bundles({ trying, tools, npmDir, work }) {
  const load = createRequire(join(tools, "index.js"));
  const entry = join(npmDir, "program.mjs");
  const out = (name) => join(npmDir, `bundle-${name}.mjs`);
  const start = (file) => runProgram(process.execPath, [file], { cwd: npmDir });

  await trying("bundle", "esbuild", async () => {
    const options = { entryPoints: [entry], bundle: true, platform: "node", format: "esm" };
    await load("esbuild").build({ ...options, external: ["pagewire"], outfile: out("esbuild"), logLevel: "silent" });
    return start(out("esbuild"));
  });
  await trying("bundle", "esbuild, all but the platform's packages", async () => {
    const options = { entryPoints: [entry], bundle: true, platform: "node", format: "cjs" };
    const file = join(npmDir, "bundle-whole.cjs");
    // A CommonJS bundle has no import.meta and no await at its top, so the program's own parts are made to fit.
    const cjs = join(npmDir, "whole.mjs");
    writeFileSync(
      cjs,
      `import { connect } from "pagewire"; import { startServer } from "pagewire/server";
      (async () => { const server = await startServer(); const channel = await connect({ url: server.url });
        const db = await channel.open("a"); console.log("ok", (await db.get("SELECT 1 AS x")).x);
        await channel.close(); await server.stop(); })();`,
    );
    await load("esbuild").build({
      ...options,
      entryPoints: [cjs],
      external: ["@pagewire/*"],
      outfile: file,
      logLevel: "silent",
    });
    return start(file);
  });
  await trying("bundle", "Vite, SSR", async () => {
    const { build } = await import(load.resolve("vite"));
    const outDir = join(npmDir, "bundle-vite");
    await build({
      root: npmDir,
      logLevel: "silent",
      configFile: false,
      build: { ssr: entry, outDir, target: "node20", rollupOptions: { output: { entryFileNames: "program.mjs" } } },
    });
    return start(join(outDir, "program.mjs"));
  });
  await trying("bundle", "webpack", async () => {
    const settings = {
      mode: "production",
      target: "node20",
      context: npmDir,
      entry,
      experiments: { outputModule: true },
    };
    const externals = { pagewire: "module pagewire", "pagewire/server": "module pagewire/server" };
    const output = { path: npmDir, filename: "bundle-webpack.mjs", library: { type: "module" } };
    const module = { parser: { javascript: { createRequire: false, importMeta: false } } };
    await new Promise((resolve, reject) => {
      load("webpack")({ ...settings, externals, output, module }, (error, stats) =>
        error || stats.hasErrors() ? reject(error ?? new Error(stats.toString())) : resolve(),
      );
    });
    return start(out("webpack"));
  });
  await trying("bundle", "Next.js", () => next({ tools, npmDir, work }));
}

// A route handler of a built Next.js application, asked over HTTP.
async function next({ tools, npmDir, work }) {
  const dir = join(work, "next");
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(join(dir, "app/api/rows"), { recursive: true });
  mkdirSync(join(dir, "node_modules"));
  for (const name of ["next", "react", "react-dom"]) symlinkSync(join(tools, name), join(dir, "node_modules", name));
  for (const name of ["pagewire", "@pagewire"])
    cpSync(join(npmDir, "node_modules", name), join(dir, "node_modules", name), { recursive: true });
  const put = (path, text) => writeFileSync(join(dir, path), text);
  put(
    "package.json",
    JSON.stringify({ private: true, dependencies: { next: "*", react: "*", "react-dom": "*", pagewire: "*" } }),
  );
  put(
    "next.config.mjs",
    `export default { serverExternalPackages: ["pagewire"], outputFileTracingRoot: ${JSON.stringify(join(dir, "../../.."))}, turbopack: { root: ${JSON.stringify(join(dir, "../../.."))} } };`,
  );
  put("app/layout.jsx", "export default ({ children }) => <html lang='en'><body>{children}</body></html>;");
  put("app/page.jsx", "export default () => <p>rows</p>;");
  put(
    "app/api/rows/route.js",
    `
    import { connect } from "pagewire";
    import { startServer } from "pagewire/server";
    export const dynamic = "force-dynamic";
    export async function GET() {
      const server = await startServer();
      const channel = await connect({ url: server.url });
      const db = await channel.open("a");
      await db.exec("CREATE TABLE t (v); INSERT INTO t VALUES ('seen')");
      const row = await db.get("SELECT v FROM t");
      await channel.close();
      await server.stop();
      return Response.json(row);
    }`,
  );
  const cli = join(tools, "next/dist/bin/next");
  const env = { NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: "production" };
  await run(process.execPath, [cli, "build"], { cwd: dir, env });
  put(
    "ask.mjs",
    `
    import { spawn } from "node:child_process";
    const child = spawn(process.execPath, [${JSON.stringify(cli)}, "start", "-p", "0", "-H", "127.0.0.1"], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.on("data", async (chunk) => {
      said += chunk;
      const url = /http:\\/\\/127\\.0\\.0\\.1:\\d+/.exec(said)?.[0];
      if (!url || !/Ready/.test(said)) return;
      said = "";
      const answer = await fetch(url + "/api/rows");
      const text = await answer.text();
      child.kill();
      if (text !== '{"v":"seen"}') throw new Error(answer.status + " " + text);
      console.log("ok, asked over HTTP");
    });`,
  );
  return run(process.execPath, ["ask.mjs"], { cwd: dir, env });
}
