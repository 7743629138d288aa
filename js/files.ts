// What the native files are called on each platform.

import { join } from "node:path";

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
