// What this kind of machine, its package and its native files are called.

import { join } from "node:path";

export const arch = `${process.platform}-${process.arch}`;

/** The name of this machine's platform package, without its scope. musl has none, and is found out only when loading failed. */
export function target(): string {
  return process.platform === "linux" ? `${arch}-gnu` : arch;
}

/** The native files; `command` is the `pagewire` program. */
export interface NativeFiles {
  bridge: string;
  library: string;
  command: string;
}

const libraries: Partial<Record<NodeJS.Platform, string>> = { darwin: "libpagewire.dylib", win32: "libpagewire.dll" };

/** The files in a directory; a build has its bridge in another one. */
export function inside(dir: string, bridges = dir): NativeFiles {
  return {
    bridge: join(bridges, "pagewire.node"),
    library: join(dir, libraries[process.platform] ?? "libpagewire.so"),
    command: join(dir, process.platform === "win32" ? "pagewire.exe" : "pagewire"),
  };
}
