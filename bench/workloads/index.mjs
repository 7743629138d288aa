// The workloads, in the order of the report. Each is
//
//   what       one line for the report
//   unit       of its value: us, ms, or a rate, of which more is better (higherIsBetter)
//   latencies  milliseconds of round trip that are added; systems without a network run at 0 only
//   targets    [{ latencyMs, atMost | atLeast, of?, metric? }]: the median, or another metric, against a figure, or
//              against that many times the median of the adapter `of`, or of the workload `workload`
//              beside the same figure of what no system can be faster than, if there is a floor: { workload?, adapter }
//   only       the adapters that run it, if not all
//   without    adapters that cannot run it, by the beginning of their names, and why
//   maxRounds  rounds at most; peerRounds those of all but Pagewire
//   long       with --quick, only the systems that its targets speak of run it
//   restart    run each round in processes and servers that have just been started
//   cold       have the kernel keep the system's files in memory before each round
//   prepare    fills databases; what it answers is passed on
//   round      one round: answers what meter.stop() answers. Throws if a result is wrong
//
// A round gets (system, state, round, options). Values are milliseconds here; run.mjs turns them into the unit.

import { actors } from "./actors.mjs";
import { baselines } from "./baselines.mjs";
import { cold } from "./cold.mjs";
import { kv } from "./kv.mjs";
import { reads } from "./reads.mjs";
import { writes } from "./writes.mjs";

export const workloads = { ...reads, ...writes, ...cold, ...actors, ...kv, ...baselines };
