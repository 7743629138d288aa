// Latency before a server: delay-proxy.c, compiled when it is first needed.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { compiled } from "./compile.mjs";

/** A port of this machine behind which `port` answers roundTripMs later; set() changes that, one call at a time. */
export async function delayed(port, roundTripMs) {
  if (roundTripMs === 0) return { port, async set() {}, async stop() {} };
  const proxy = spawn(compiled("delay-proxy"), [String(port), String(roundTripMs / 2)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [told] = await once(proxy.stdout, "data");
  return {
    port: Number(told),
    async set(ms) {
      proxy.stdin.write(`${ms / 2}\n`);
      await once(proxy.stdout, "data"); // it holds from now on
    },
    async stop() {
      proxy.stdin.end();
      if (proxy.exitCode === null) await once(proxy, "exit");
    },
  };
}
