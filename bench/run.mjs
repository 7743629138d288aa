// Runs workloads on systems, in turns: every round has each system do the workload once, so that what disturbs the
// machine disturbs them alike. See README.md.

import { ensureNode } from "./node.mjs";

await ensureNode();

const { execFileSync } = await import("node:child_process");
const { mkdtempSync, rmSync, mkdirSync, writeFileSync } = await import("node:fs");
const { tmpdir } = await import("node:os");
const { join } = await import("node:path");
const { adapters, adaptersOf, peers } = await import("./adapters/index.mjs");
const { listOf, numbersOf, optionsOf, refuse } = await import("./arguments.mjs");
const { combine } = await import("./combine.mjs");
const { judge, printTable, printTechniques, writeReport } = await import("./report.mjs");
const { System } = await import("./system.mjs");
const { techniques } = await import("./techniques.mjs");
const { workloads } = await import("./workloads/index.mjs");

const usage = `node bench/run.mjs [options]

  --workloads a,b      all unless told otherwise
  --adapters x,y       names, or the beginning of several; all unless told otherwise
  --latency-ms 0,10    milliseconds of round trip to add, instead of those that each workload asks for
  --rounds n           5 unless told otherwise, 3 with --quick; some workloads do fewer
  --quick              fewer systems, fewer rounds: under three minutes
  --techniques         Pagewire with and without each of its techniques, instead of other systems
  --json               one line of JSON a result on standard output, instead of tables
  --report DIR         writes README.md, chart.svg and results.jsonl there
  --strict             exits with 1 if a target is missed; a wrong result always does
  --list               names workloads, adapters and techniques`;

const args = optionsOf(usage, {
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
});

if (args.list) {
  for (const [name, { what }] of Object.entries(workloads)) console.log(`${name.padEnd(22)} ${what}`);
  console.log(`adapters: ${peers.join(", ")}`);
  console.log(`techniques: ${Object.keys(techniques).join(", ")}`);
  process.exit(0);
}

const quickAdapters = ["pagewire", "better-sqlite3", "node-sqlite-normal", "echo"];
const chosen = listOf(args.workloads) ?? Object.keys(workloads);
for (const name of chosen) {
  if (workloads[name] === undefined) refuse(`no workload ${name}; there are: ${Object.keys(workloads).join(", ")}`);
}
const wanted = listOf(args.adapters);
const systems = adaptersOf(wanted ?? (args.quick ? quickAdapters : peers));
const latencies = numbersOf("latency-ms", args["latency-ms"]);
const [rounds] = numbersOf("rounds", args.rounds ?? (args.quick ? "3" : "5"), 1);
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

const noNetwork = "no network";

/** The reason why a system cannot do a workload at a latency, or undefined. */
function reasonWithout(name, workload, latencyMs) {
  const { remote, slow } = adapters[name];
  if (latencyMs > 0 && !remote) return noNetwork;
  const { without = {} } = workloads[workload];
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
 * What a peer cannot do, for its server did not answer, a limit of its own was met, its result was wrong or it takes too
 * long, is said and left out. Any failure of Pagewire ends the run.
 */
async function tolerating(system, workload, latencyMs, fn) {
  try {
    await fn();
    return true;
  } catch (error) {
    const reason = error.message.split("\n")[0].replaceAll(dir, "...").slice(0, 300); // no paths in a report
    if (stopping || system.name === "pagewire") throw error;
    say(`  ${system.name}: FAILED, left out: ${reason}`);
    failures.push({ workload, adapter: system.name, latencyMs, error: reason });
    kept.delete(system.name);
    await stop(system);
    return false;
  }
}

/** The systems that do a workload at all. A long one is done with --quick by those that its targets speak of. */
function systemsFor(workload) {
  const { long = false, only = systems, targets = [] } = workloads[workload];
  const enough = ["pagewire", ...targets.map((target) => target.of)];
  const some = long && args.quick && wanted === undefined ? systems.filter((name) => enough.includes(name)) : systems;
  return some.filter((name) => only.includes(name) && (adapters[name].only?.includes(workload) ?? true));
}

/** What is measured, in its order: {workload, latencyMs, names of systems}. */
function plan() {
  if (args.techniques) {
    const runs = Object.entries(techniques).flatMap(([name, { runs, beside }]) => {
      const names = [beside === undefined ? "pagewire" : `without-${beside}`, `without-${name}`];
      return runs.map(([workload, latencyMs]) => ({ workload, latencyMs, names }));
    });
    return runs.filter(({ workload }) => chosen.includes(workload));
  }
  const all = latencies ?? [...new Set(chosen.flatMap((name) => workloads[name].latencies))].sort((a, b) => a - b);
  return all.flatMap((latencyMs) =>
    chosen
      .filter((workload) => latencies !== undefined || workloads[workload].latencies.includes(latencyMs))
      .map((workload) => ({ workload, latencyMs, names: systemsFor(workload) })),
  );
}

/** Runs one workload at one latency on systems; answers a result for each. */
async function measure({ workload, latencyMs, names }) {
  const { maxRounds = rounds, peerRounds = rounds, restart = false, cold = false } = workloads[workload];
  const most = Math.min(rounds, maxRounds);
  const roundsOf = ({ name, adapter }) =>
    Math.min(most, name === "pagewire" ? most : peerRounds, adapter.rounds?.[workload] ?? most);
  let participants = [];
  const done = new Map();
  const tookMs = new Map(names.map((name) => [name, 0]));
  try {
    for (const name of names) {
      const without = reasonWithout(name, workload, latencyMs);
      if (without !== undefined) {
        if (without !== noNetwork) {
          say(`  ${name}: left out, ${without}`);
          leftOut.push({ workload, adapter: name, latencyMs, reason: without });
        }
        continue;
      }
      const system = systemOf(name, latencyMs);
      const begin = async () => {
        await system.start();
        const started = performance.now();
        await system.prepare(workload);
        const seconds = (performance.now() - started) / 1000;
        if (seconds > 5) say(`  ${name}: prepared in ${seconds.toFixed(1)} s`);
      };
      if (!(await tolerating(system, workload, latencyMs, begin))) continue;
      participants.push(system);
      done.set(system, []);
    }
    for (let round = 0; round < most; round++) {
      const some = participants.filter((system) => round < roundsOf(system));
      const turns = some.map((_, i) => some[(i + round) % some.length]);
      for (const system of turns) {
        const turn = async () => {
          if (restart) await system.restart();
          if (cold) system.touchFiles();
          execFileSync("sync"); // what the system before left to the kernel is not written in this one's time
          const began = performance.now();
          done.get(system).push(await system.order("round", { workload, round }));
          tookMs.set(system.name, tookMs.get(system.name) + performance.now() - began);
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
  for (const [name, ms] of tookMs) {
    if (ms > 5000) say(`  ${name}: its rounds took ${(ms / 1000).toFixed(1)} s`);
  }
  return participants.map((system) => combine(workload, system.name, latencyMs, done.get(system)));
}

const results = [];
const failures = []; // what peers could not do
const leftOut = []; // what they were not asked to do
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
  writeReport(args.report, { results, verdicts, failures, leftOut });
}
const missed = verdicts.filter(({ pass }) => !pass);
const beyond = missed.filter(({ within }) => within === false).length;
say(
  `bench: ${results.length} results, all correct; ${verdicts.length - missed.length} of ${verdicts.length} targets met` +
    (beyond > 0 ? `, ${beyond} of the others missed by the floor too` : ""),
);
process.exit(args.strict && missed.length > 0 ? 1 : 0);
