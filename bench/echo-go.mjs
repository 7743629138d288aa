// The Go programs of echo-go/, built when they are first needed. go itself knows whether there is anything to do.

import { fileURLToPath } from "node:url";
import { addon } from "./compile.mjs";
import { go, withSqlite } from "./sqlite.mjs";

const out = (name) => fileURLToPath(new URL(`../out/${name}`, import.meta.url));

/** The path of the server's program. */
export function echoGoServer() {
  const path = out("echo-go-server");
  go("build", "-o", path, "./bench/echo-go/server");
  return path;
}

/** The addon of echo-go.c, with the library that it enters. */
export function echoGoClient() {
  const path = out("libecho-go.so");
  // -z nodelete: Go cannot be unloaded. Stripped, as Pagewire's is.
  const flags = "-s -w -extldflags '-Wl,-z,nodelete -s'";
  go("build", "-buildmode=c-shared", "-ldflags", flags, "-o", path, "./bench/echo-go/client");
  return addon("echo-go", () => `-s ${withSqlite()} '${path}'`);
}
