// Runs workloads on systems, in turns: every round has each system do the workload once, so that what disturbs the
// machine disturbs them alike. See README.md.

import { ensureNode } from "./node.mjs";

await ensureNode();

const { mkdtempSync, rmSync, mkdirSync, writeFileSync } = await import("node:fs");
const { tmpdir } = await import("node:os");
const { join } = await import("node:path");
const { parseArgs } = await import("node:util");
const { adapters, adaptersOf, peers } = await import("./adapters/index.mjs");
const { combine } = await import("./combine.mjs");
const { judge, printTable, printTechniques, writeReport } = await import("./report.mjs");
const { System } = await import("./system.mjs");
const { techniques } = await import("./techniques.mjs");
const { workloads } = await import("./workloads.mjs");

const quickAdapters = ["pagewire", "better-sqlite3", "node-sqlite-normal"];

const { values: args } = parseArgs({
  options: {
    workloads: { type: "string" },
    adapters: { type: "string" },
    "latency-ms": { type: "string" },
    rounds: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
    techniques: { type: "boolean", default: false },
    report: { type: "string" },
    list: { type: "boolean", default: false },
  },
});
const list = (text) => text?.split(",").filter((name) => name !== "");

if (args.list) {
  for (const [name, { what }] of Object.entries(workloads)) console.log(`${name.padEnd(22)} ${what}`);
  console.log(`adapters: ${peers.join(", ")}`);
  console.log(`techniques: ${Object.keys(techniques).join(", ")}`);
  process.exit(0);
}

const chosen = list(args.workloads) ?? Object.keys(workloads);
for (const name of chosen) {
  if (workloads[name] === undefined) throw new Error(`no workload ${name}; see --list`);
}
const systems = adaptersOf(list(args.adapters) ?? (args.quick ? quickAdapters : peers));
const latencies = list(args["latency-ms"])?.map(Number);
const rounds = Number(args.rounds ?? (args.quick ? 3 : 7));
const dir = mkdtempSync(join(tmpdir(), "pagewire-bench-"));
const say = (text) => process.stderr.write(`${text}\n`);

const running = new Set(); // systems that have processes or files
const kept = new Map(); // adapter -> System, for those that serve many workloads
let stopping = false;

function interrupted(signal) {
  if (stopping) return;
  stopping = true;
  say(`bench: ${signal}: cleaning up`);
  for (const system of running) system.kill(); // what waits for one of them fails, and the end comes in due order
}
process.on("SIGINT", () => interrupted("SIGINT"));
process.on("SIGTERM", () => interrupted("SIGTERM"));

/** The reason why a system cannot do a workload at a latency, or undefined. */
function reasonWithout(name, workload, latencyMs) {
  const { remote, slow } = adapters[name];
  if (latencyMs > 0 && !remote) return "no network";
  const { only, without = {} } = workloads[workload];
  if (only !== undefined && !only.includes(name)) return "nothing of its own to measure";
  const group = Object.keys(without).find((prefix) => name === prefix || name.startsWith(`${prefix}-`));
  if (group !== undefined) return without[group];
  const limit = Object.keys(slow ?? {}).find((least) => latencyMs >= Number(least));
  return limit === undefined ? undefined : slow[limit][workload];
}

function systemOf(name, latencyMs) {
  const system = kept.get(name) ?? new System(name, { dir, latencyMs, quick: args.quick });
  running.add(system);
  if (adapters[name].keep) kept.set(name, system);
  return system;
}

async function stop(system) {
  await system.stop();
  running.delete(system);
}

/**
 * What a peer cannot do, for its server did not answer or a limit of its own was met, is said and left out. A wrong
 * result ends the run, and so does any failure of Pagewire.
 */
async function tolerating(system, workload, latencyMs, fn) {
  try {
    await fn();
    return true;
  } catch (error) {
    const reason = error.message.split("\n")[0].slice(0, 300);
    if (stopping || system.name === "pagewire" || reason.includes("wrong result")) throw error;
    say(`  ${system.name}: FAILED, left out: ${reason}`);
    failures.push({ workload, adapter: system.name, latencyMs, error: reason });
    kept.delete(system.name);
    await stop(system);
    return false;
  }
}

/** What is measured, in its order: {workload, latencyMs, names of systems}. */
function plan() {
  if (args.techniques) {
    const runs = Object.entries(techniques).flatMap(([name, { runs }]) =>
      runs.map(([workload, latencyMs]) => ({ workload, latencyMs, names: ["pagewire", `without-${name}`] })),
    );
    return runs.filter(({ workload }) => chosen.includes(workload));
  }
  const all = latencies ?? [...new Set(chosen.flatMap((name) => workloads[name].latencies))].sort((a, b) => a - b);
  return all.flatMap((latencyMs) =>
    chosen
      .filter((workload) => latencies !== undefined || workloads[workload].latencies.includes(latencyMs))
      .map((workload) => ({ workload, latencyMs, names: systems })),
  );
}

/** Runs one workload at one latency on systems; answers a result for each. */
async function measure({ workload, latencyMs, names }) {
  const { maxRounds = rounds, restart = false } = workloads[workload];
  let participants = [];
  const done = new Map();
  try {
    for (const name of names) {
      const without = reasonWithout(name, workload, latencyMs);
      if (without !== undefined) {
        if (latencyMs === 0 || adapters[name].remote) say(`  ${name}: left out, ${without}`);
        continue;
      }
      const system = systemOf(name, latencyMs);
      const begin = async () => {
        await system.start();
        await system.order("prepare", { workload });
      };
      if (!(await tolerating(system, workload, latencyMs, begin))) continue;
      participants.push(system);
      done.set(system, []);
    }
    for (let round = 0; round < Math.min(rounds, maxRounds); round++) {
      const turns = participants.map((_, i) => participants[(i + round) % participants.length]);
      for (const system of turns) {
        const turn = async () => {
          if (restart) await system.restart();
          done.get(system).push(await system.order("round", { workload, round }));
        };
        if (await tolerating(system, workload, latencyMs, turn)) continue;
        participants = participants.filter((other) => other !== system);
      }
    }
  } finally {
    for (const system of participants) {
      if (!adapters[system.name].keep) await stop(system);
      else if (!stopping) await tolerating(system, workload, latencyMs, () => system.order("finish"));
    }
  }
  return participants.map((system) => combine(workload, system.name, latencyMs, done.get(system)));
}

const results = [];
const failures = []; // what peers could not do
let failure;
try {
  let keptAt = 0; // the latency that the kept systems were started for
  for (const run of plan()) {
    if (stopping) throw new Error("interrupted");
    if (run.latencyMs !== keptAt) {
      for (const system of kept.values()) await stop(system);
      kept.clear();
      keptAt = run.latencyMs;
    }
    say(`${run.workload}, ${run.latencyMs} ms`);
    const begin = performance.now();
    const some = await measure(run);
    say(`  took ${((performance.now() - begin) / 1000).toFixed(1)} s`);
    results.push(...some);
    if (args.json) for (const result of some) console.log(JSON.stringify(result));
    if (args.techniques && !args.json) printTechniques(some);
  }
} catch (error) {
  failure = error;
} finally {
  for (const system of running) await system.stop().catch((error) => say(`bench: ${error.message}`));
  rmSync(dir, { recursive: true, force: true });
}
if (failure !== undefined) {
  say(stopping ? "bench: interrupted" : `bench: ${failure.message}`);
  process.exit(stopping ? 130 : 1);
}

if (args.techniques) process.exit(0); // each was printed when it was measured
const verdicts = judge(results);
if (!args.json) printTable(results, verdicts);
if (args.report !== undefined) {
  mkdirSync(args.report, { recursive: true });
  writeFileSync(join(args.report, "results.jsonl"), results.map((result) => `${JSON.stringify(result)}\n`).join(""));
  writeReport(args.report, results, verdicts, failures);
}
const missed = verdicts.filter(({ pass }) => !pass);
say(
  `bench: ${results.length} results, all correct; ${verdicts.length - missed.length} of ${verdicts.length} targets met`,
);
process.exit(args.strict && missed.length > 0 ? 1 : 0);
