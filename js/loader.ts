// Finds the native files, the bridge (pagewire.node) and the Go library that it loads: in the directory that
// PAGEWIRE_NATIVE_DIR names, and then nowhere else, or in a build of this repository, or in the platform's package.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LoadFailure } from "./causes.js";
import { inside, type NativeFiles, target } from "./files.js";

// Needed only if something is wrong.
const causes = () => require("./causes.js") as typeof import("./causes.js");

// One literal require a package: bundlers and file tracers follow these, and nothing that is put together at run time.
const packages: Record<string, () => NativeFiles & { version: string }> = {
  "linux-x64-gnu": () => require("@pagewire/linux-x64-gnu"),
  "linux-arm64-gnu": () => require("@pagewire/linux-arm64-gnu"),
  "darwin-x64": () => require("@pagewire/darwin-x64"),
  "darwin-arm64": () => require("@pagewire/darwin-arm64"),
  "win32-x64": () => require("@pagewire/win32-x64"),
};

function installed(name: string): boolean {
  try {
    return packages[name]?.() !== undefined;
  } catch {
    return false;
  }
}

// The platform's package. Throws what its require() throws, or a LoadFailure if it does not fit.
function packaged(): NativeFiles {
  const names = Object.keys(packages);
  if (!names.includes(target())) throw causes().unsupported(names);
  const found = packages[target()]!();
  const { version } = require("../package.json") as { version: string };
  if (found.version === version) return found;
  throw causes().mismatched(found.version, version);
}

// Why a place had no native files, or not these. It takes milliseconds to find out.
function why(error: unknown, paths: string[]): LoadFailure {
  const none = paths.length === 0 && (error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND";
  return none ? causes().absent(Object.keys(packages).filter(installed), error) : causes().explain(error, ...paths);
}

// Where to look, in order. A build is a place to look only where there is one, and there it comes first: whoever builds wants
// that, even if the package of the same version is installed, and a package that is not costs a tenth of the loading time.
function places(override: string | undefined): (() => NativeFiles)[] {
  if (override) return [() => inside(override)];
  const root = join(__dirname, "..");
  const built = inside(join(root, "out"), join(root, "build", "Release"));
  return existsSync(built.bridge) || existsSync(built.command) ? [() => built, packaged] : [packaged];
}

/**
 * Has `use` try the native files of each place until one returns. Throws a PagewireError "library_not_loaded" whose
 * message says what was tried, why it failed and what to do; its cause is an AggregateError of all failures.
 */
export function withNative<T>(use: (files: NativeFiles) => T): T {
  const override = process.env.PAGEWIRE_NATIVE_DIR;
  const failures: (() => LoadFailure)[] = [];
  for (const place of places(override)) {
    let paths: string[] = [];
    try {
      const files = place();
      paths = [files.bridge, files.library];
      return use(files);
    } catch (error) {
      failures.push(() => why(error, paths));
    }
  }
  throw causes().loadError(
    failures.map((failure) => failure()),
    override,
  );
}

/** Where the `pagewire` program is. Throws as withNative() does. */
export function findCommand(): string {
  return withNative(({ command }) => {
    if (existsSync(command)) return command;
    throw causes().missingFile(command);
  });
}
