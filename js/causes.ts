// Why the native files could not be loaded, and what to do about each cause.

import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { PagewireError } from "./errors.js";
import { arch, target } from "./files.js";

/**
 * One place where the native files were looked for, and why they are not usable. `code` is one of
 * optional_dependency_missing, wrong_platform, unsupported_platform, musl, glibc_too_old, version_mismatch, addons_disabled,
 * file_missing, not_executable and load_failed.
 */
export class LoadFailure extends Error {
  override readonly name = "LoadFailure";
  readonly code: string;
  /** What to do, in one sentence or two. */
  readonly fix: string;

  constructor(code: string, message: string, fix: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.fix = fix;
  }
}

const reinstall = "Remove node_modules and install again on the machine that runs the program.";
const glibcImages = "Use an image with glibc 2.28 or newer, such as node:22-slim or node:22-bookworm.";

// Node's report names glibc's version where there is glibc. Its slow part, the network's interfaces, is left out.
function report(): { glibcVersionRuntime?: string; glibcVersionCompiler?: string } {
  if (process.platform !== "linux" || typeof process.report?.getReport !== "function") return {};
  const kept = (process.report as { excludeNetwork?: boolean }).excludeNetwork;
  Object.assign(process.report, { excludeNetwork: true });
  const made = process.report.getReport() as { header?: object };
  Object.assign(process.report, { excludeNetwork: kept ?? false });
  return made.header ?? {};
}

// Other runtimes than Node.js make no such report, and are built for glibc.
function isMusl(): boolean {
  if (process.platform !== "linux" || "bun" in process.versions || "deno" in process.versions) return false;
  return report().glibcVersionRuntime === undefined;
}

function musl(cause: unknown): LoadFailure {
  const why = "this is a system with musl (Alpine Linux), whose loader cannot take a Go library into a running process";
  return new LoadFailure("musl", why, glibcImages, cause);
}

/** There is no package for this kind of machine; `names` are those there are. */
export function unsupported(names: readonly string[]): LoadFailure {
  const what = `there is no package for ${arch}, only for ${names.join(", ")}`;
  return new LoadFailure(
    "unsupported_platform",
    what,
    "Run on one of these, or build Pagewire on this machine from its sources.",
  );
}

/** The platform's package is not installed; `others` are those that are. */
export function absent(others: readonly string[], cause: unknown): LoadFailure {
  if (isMusl()) return musl(cause);
  if (others.length > 0) {
    const what = `@pagewire/${others.join(" and @pagewire/")} is installed, but this process is ${arch}`;
    return new LoadFailure("wrong_platform", what, `${moved()} ${reinstall}`, cause);
  }
  return new LoadFailure(
    "optional_dependency_missing",
    `the package @pagewire/${target()} is not installed`,
    "It comes with pagewire as an optional dependency: install again without --omit=optional, --no-optional or " +
      "--ignore-optional, and with a lock file that was made for this platform too.",
    cause,
  );
}

// How node_modules of another kind of machine usually come here.
function moved(): string {
  if (process.platform === "darwin") return "A Node.js under Rosetta 2 is x64: use one of the Mac's own architecture.";
  if (process.platform === "win32") return "Windows and WSL cannot share node_modules.";
  return "In Docker, keep the host's node_modules out (.dockerignore), or build for the right --platform; WSL and Windows cannot share theirs.";
}

/** The platform's package is of another version than this one. */
export function mismatched(found: string, want: string): LoadFailure {
  const what = `pagewire is ${want}, but @pagewire/${target()} is ${found}`;
  return new LoadFailure(
    "version_mismatch",
    what,
    "Both must be of the same version: remove overrides or resolutions of it and install again.",
  );
}

/** A file is not where it should be. */
export function missingFile(path: string, cause?: unknown): LoadFailure {
  const fix = `Install @pagewire/${target()} again, have bundlers leave it outside or copy it whole, or build with: make build`;
  return new LoadFailure("file_missing", `${path} is missing`, fix, cause);
}

const machines: Record<number, string> = { 62: "linux-x64", 183: "linux-arm64", 3: "linux-ia32", 40: "linux-arm" };
const cpus: Record<number, string> = { 16777223: "darwin-x64", 16777228: "darwin-arm64" };
const coffs: Record<number, string> = { 34404: "win32-x64", 43620: "win32-arm64", 332: "win32-ia32" };

/** What a file was built for, by its header (ELF, Mach-O or PE); undefined if it is nothing of these. */
function builtFor(path: string): string | undefined {
  const head = Buffer.alloc(4096);
  try {
    const fd = openSync(path, "r");
    readSync(fd, head, 0, head.length, 0);
    closeSync(fd);
  } catch {
    return undefined;
  }
  if (head.readUInt32BE(0) === 0x7f454c46) return machines[head.readUInt16LE(18)] ?? "another machine";
  if (head.readUInt32LE(0) === 0xfeedfacf) return cpus[head.readUInt32LE(4)] ?? "another machine";
  const pe = head.readUInt32LE(0x3c);
  if (head.readUInt16BE(0) !== 0x4d5a || pe > head.length - 6) return undefined;
  return coffs[head.readUInt16LE(pe + 4)] ?? "another machine";
}

/** Why native files could not be loaded; `paths` are the files, none if they were not found at all. */
export function explain(error: unknown, ...paths: string[]): LoadFailure {
  if (error instanceof LoadFailure) return error;
  const { code, message } = error as { code?: unknown; message: string };
  const failure = (name: string, what: string, fix: string) => new LoadFailure(name, what, fix, error);
  if (code === "ERR_DLOPEN_DISABLED") {
    return failure(
      "addons_disabled",
      `this process may not load addons: ${message}`,
      "Run Node.js without --no-addons (NODE_OPTIONS may hold it), and with --allow-addons if --permission is given.",
    );
  }
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) return missingFile(missing, error);
  if (isMusl()) return musl(error);
  const strange = paths.find((path) => (builtFor(path) ?? arch) !== arch);
  if (strange !== undefined) {
    return failure(
      "wrong_platform",
      `${strange} is for ${builtFor(strange)}, but this process is ${arch}`,
      `${moved()} ${reinstall}`,
    );
  }
  const glibc = /GLIBC_([0-9.]+)' not found/.exec(message)?.[1];
  if (glibc !== undefined) {
    const have = report().glibcVersionRuntime ?? "older";
    return failure("glibc_too_old", `glibc ${glibc} is needed, but this system's is ${have}: ${message}`, glibcImages);
  }
  if (message.includes("of different versions")) {
    return failure("version_mismatch", message, reinstall);
  }
  if (/failed to map segment|Operation not permitted|Permission denied/i.test(message)) {
    return failure(
      "not_executable",
      message,
      "Make the files readable, and their file system one that programs may run from (not mounted noexec).",
    );
  }
  return failure("load_failed", message, reinstall);
}

/** The error of a failed load: message, causes and the fix for each. `override` is the one directory that was looked in. */
export function loadError(failures: readonly LoadFailure[], override?: string): PagewireError {
  const causes = failures.map(({ code, message, fix }) => `\n- ${code}: ${message.replace(/\.$/, "")}.\n  ${fix}`);
  const only = override
    ? `\nPAGEWIRE_NATIVE_DIR is set, so only ${override} was looked in: unset it, or put the files of @pagewire/${target()} there.`
    : "";
  return new PagewireError(
    "library_not_loaded",
    `Pagewire's native files for ${arch} could not be loaded:${causes.join("")}${only}`,
    {
      cause: new AggregateError(failures, "no place had native files that could be loaded"),
    },
  );
}
