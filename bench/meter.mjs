// What a measured stretch cost: time, round trips, bytes, pages prefetched and wasted, processor time of client and
// server, memory.

import { readFileSync } from "node:fs";
import { median, quantile } from "./stats.mjs";

const tickMs = 10; // USER_HZ is 100 on every Linux

/** Milliseconds of processor time of a process and all its threads; undefined where there is no /proc. */
export function cpuMs(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * tickMs;
  } catch {
    return undefined;
  }
}

/** KiB of a line of /proc/PID/status or smaps_rollup. */
export function memoryKb(pid, name = "VmRSS", file = "status") {
  try {
    return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))[1]);
  } catch {
    return undefined;
  }
}

const difference = (after, before) =>
  Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]));

/**
 * Begins to measure. stop(samples, more) answers the round's result: the value is the samples' median in milliseconds,
 * unless `more.value` names another.
 */
export function meter(system) {
  const counters = system.counters?.() ?? {};
  const serverCpu = system.serverPid === undefined ? undefined : cpuMs(system.serverPid);
  const cpu = process.cpuUsage();
  const begin = performance.now();
  return {
    stop(samples, more = {}) {
      const elapsedMs = performance.now() - begin;
      const { user, system: kernel } = process.cpuUsage(cpu);
      const after = system.serverPid === undefined ? undefined : cpuMs(system.serverPid);
      return {
        value: median(samples),
        p99: quantile(samples, 0.99),
        n: samples.length,
        elapsedMs,
        clientCpuMs: (user + kernel) / 1000,
        ...(after === undefined || serverCpu === undefined ? {} : { serverCpuMs: after - serverCpu }),
        clientRssKb: memoryKb("self"),
        ...(system.serverPid === undefined ? {} : { serverRssKb: memoryKb(system.serverPid) }),
        ...difference(system.counters?.() ?? {}, counters),
        ...more,
      };
    },
  };
}

/** Milliseconds of each of n awaited calls of fn. */
export async function timed(n, fn) {
  const samples = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const begin = performance.now();
    await fn(i);
    samples[i] = performance.now() - begin;
  }
  return samples;
}
