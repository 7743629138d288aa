// The rounds of one workload on one system, made into one result: a median of medians, and what it cost.

import { median, round } from "./stats.mjs";
import { workloads } from "./workloads/index.mjs";

const factors = { us: 1000, ms: 1 };
const perOperation = new Set(["roundTrips", "bytes", "prefetched", "wasted", "clientCpuMs", "serverCpuMs"]);

/** {workload, adapter, latencyMs, unit, median, p99, rounds, samples, medians of the rounds, ...}; durations are in `unit`. */
export function combine(workload, adapter, latencyMs, rounds) {
  const { unit, higherIsBetter = false } = workloads[workload];
  const factor = factors[unit] ?? 1;
  const values = rounds.map(({ value }) => value * factor);
  const result = {
    workload,
    adapter,
    latencyMs,
    unit,
    ...(higherIsBetter ? { higherIsBetter } : {}),
    median: round(median(values)),
    p99: round(median(rounds.map(({ p99 }) => p99)) * (higherIsBetter ? 1 : factor)), // of a rate: ms of one operation
    min: round(Math.min(...values)),
    max: round(Math.max(...values)),
    rounds: rounds.length,
    medians: values.map((value) => round(value)),
    samples: rounds.reduce((sum, { n }) => sum + n, 0),
  };
  if (latencyMs > 0 && !higherIsBetter) result.roundTripTimes = round(result.median / factor / latencyMs);
  const taken = new Set(["value", "p99", "n", "perOperation"]);
  for (const name of Object.keys(rounds[0])) {
    if (taken.has(name)) continue;
    const each = rounds.map((one) => one[name] / (perOperation.has(name) ? (one.perOperation ?? one.n) : 1));
    result[name] = round(each.reduce((sum, one) => sum + one, 0) / each.length);
  }
  return result;
}
