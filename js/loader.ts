// Finds the two native files: the bridge (pagewire.node) and the Go library it loads. They come with
// the platform's package, or from a build of this repository.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { PagewireError } from "./errors.js";

const library: Partial<Record<NodeJS.Platform, string>> = {
  darwin: "libpagewire.dylib",
  win32: "libpagewire.dll",
};

/** Where the native files are; `command` is the `pagewire` program, which not every package has. */
export interface NativeFiles {
  bridge: string;
  library: string;
  command: string;
}

// musl's loader cannot take a Go library into a running process (golang/go#54805).
function isMusl(): boolean {
  if (process.platform !== "linux") return false;
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined;
}

// The directory of the platform's package, or undefined if it is not installed.
function platformPackage(): string | undefined {
  const name = `@pagewire/${process.platform}-${process.arch}`;
  try {
    return join(require.resolve(`${name}/package.json`), "..");
  } catch {
    return undefined;
  }
}

/** Finds the native files. Throws a PagewireError "library_not_found" that says where it looked. */
export function findNative(): NativeFiles {
  if (isMusl()) {
    throw new PagewireError(
      "library_not_found",
      "Pagewire cannot run on musl (Alpine Linux): it cannot load a Go library into Node. Use an image " +
        "with glibc, such as node:22-slim or node:22-bookworm.",
    );
  }
  const exe = process.platform === "win32" ? ".exe" : "";
  const lib = library[process.platform] ?? "libpagewire.so";
  const root = join(__dirname, "..");
  const packaged = platformPackage();
  const places: NativeFiles[] = [];
  if (packaged !== undefined) {
    places.push({
      bridge: join(packaged, "pagewire.node"),
      library: join(packaged, lib),
      command: join(packaged, `pagewire${exe}`),
    });
  }
  places.push({
    bridge: join(root, "build", "Release", "pagewire.node"),
    library: join(root, "out", lib),
    command: join(root, "out", `pagewire${exe}`),
  });
  for (const files of places) {
    if (existsSync(files.bridge) && existsSync(files.library)) return files;
  }
  const looked = places.flatMap((files) => [files.bridge, files.library]).join(", ");
  throw new PagewireError(
    "library_not_found",
    `Pagewire's native files for ${process.platform}-${process.arch} were not found (looked for ${looked}). ` +
      `Install the package @pagewire/${process.platform}-${process.arch}, which comes with pagewire unless ` +
      "optional dependencies are left out, or build them with: npm run build",
  );
}
