// Results for people: the table of targets, the table of systems, and the report of both with a chart.

import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { chart } from "./chart.mjs";
import { figure, median } from "./stats.mjs";
import { workloads } from "./workloads/index.mjs";

const subject = "pagewire";

const find = (results, workload, adapter, latencyMs) =>
  results.find((r) => r.workload === workload && r.adapter === adapter && r.latencyMs === latencyMs);

/**
 * What a target measures, the limit that it sets, and how much of that was taken; undefined if it was not run. With another
 * system it is compared round by round, as they take turns and a slow spell of the machine is in both.
 */
function limitOf(results, workload, target) {
  const own = find(results, workload, subject, target.latencyMs);
  const factor = target.atMost ?? target.atLeast;
  if (own === undefined) return undefined;
  const value = own[target.metric ?? "median"];
  if (target.of === undefined && target.workload === undefined) return { value, limit: factor, ratio: value / factor };
  const other = find(results, target.workload ?? workload, target.of ?? subject, target.latencyMs);
  if (other === undefined) return undefined;
  const limit = factor * other.median;
  if (target.of === undefined || other.rounds !== own.rounds) return { value, limit, ratio: value / limit };
  return { value, limit, ratio: median(own.medians.map((one, i) => one / (factor * other.medians[i]))) };
}

/** The same figure of what no system can be faster than, where the target names such a thing. */
function leastOf(results, workload, { floor, latencyMs, metric = "median" }) {
  return floor && find(results, floor.workload ?? workload, floor.adapter, latencyMs)?.[metric];
}

const metricNames = {
  roundTripTimes: "round trips of time",
  roundTrips: "round trips",
  cores: "cores",
  serverKb: "KiB of the server",
  privateMib: "MiB private",
  fileMib: "MiB of file",
};

/**
 * Every target that could be judged: {workload, latencyMs, unit, target, value, ratio, least, pass, within}. `within` says that the
 * floor is within the limit: where it is not, nothing can be; undefined without a floor.
 */
export function judge(results) {
  const verdicts = [];
  for (const [workload, { targets = [], unit }] of Object.entries(workloads)) {
    for (const target of targets) {
      const { value, limit, ratio } = limitOf(results, workload, target) ?? {};
      if (value === undefined) continue;
      const metric = target.metric ?? "median";
      const reference = target.of ?? (target.workload && `the median of ${target.workload}`);
      const least = leastOf(results, workload, target);
      const keeps = (share) => (target.atLeast === undefined ? share <= 1 : share >= 1);
      const size = reference === undefined ? figure(limit) : `${target.atMost}x ${reference} = ${figure(limit)}`;
      verdicts.push({
        workload,
        latencyMs: target.latencyMs,
        unit:
          metricNames[metric] === undefined || metric === "p99"
            ? `${unit}${metric === "p99" ? " p99" : ""}`
            : metricNames[metric],
        target: `${target.atLeast === undefined ? "at most" : "at least"} ${size}`,
        value,
        ratio,
        least,
        pass: keeps(ratio),
        within: least === undefined ? undefined : keeps(least / limit),
      });
    }
  }
  return verdicts;
}

function markdown(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i < 1 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

function verdictOf({ pass, within }) {
  if (pass) return "met";
  return within === false ? "MISSED, by the floor too" : "MISSED";
}

const verdictTable = (verdicts) => [
  ["workload", "added ms", "pagewire", "unit", "target", "of the limit", "", "floor"],
  verdicts.map((v) => [
    v.workload,
    String(v.latencyMs),
    figure(v.value),
    v.unit,
    v.target,
    `${v.ratio.toFixed(2)}x`,
    verdictOf(v),
    v.least === undefined ? "" : figure(v.least),
  ]),
];

/** One row a system: the ratio is the peer's median over Pagewire's, the other way round for rates: over 1, Pagewire wins. */
function systemTable(results, workload, latencyMs) {
  const some = results.filter((r) => r.workload === workload && r.latencyMs === latencyMs);
  const own = some.find((r) => r.adapter === subject);
  const ratio = (r) => {
    if (own === undefined) return "-";
    return (r.higherIsBetter ? own.median / r.median : r.median / own.median).toFixed(2);
  };
  const rows = some.map((r) => [
    r.adapter,
    figure(r.median),
    figure(r.p99),
    `${r.rounds}: ${figure(r.min)} to ${figure(r.max)}`,
    ratio(r),
    figure(r.roundTrips),
    figure(r.bytes),
    r.prefetched === undefined ? "-" : `${figure(r.prefetched)} / ${figure(r.wasted)}`,
    figure(r.clientCpuMs),
    figure(r.serverCpuMs),
    figure(r.clientRssKb && r.clientRssKb / 1024),
    figure(r.serverRssKb && r.serverRssKb / 1024),
  ]);
  const unit = some[0].unit;
  const p99 = some[0].higherIsBetter ? "p99 of one, ms" : "p99";
  return [
    [
      "system",
      `median, ${unit}`,
      p99,
      "rounds",
      "to pagewire",
      "round trips",
      "bytes",
      "prefetched / wasted",
      "client CPU ms",
      "server CPU ms",
      "client MiB",
      "server MiB",
    ],
    rows,
  ];
}

function plain([head, rows]) {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i].length)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** One workload with and without one of Pagewire's techniques. */
export function printTechniques([whole, without]) {
  const gain = whole.higherIsBetter ? whole.median / without.median : without.median / whole.median;
  const cells = (r) => [figure(r.median), figure(r.roundTrips), figure(r.bytes), figure(r.clientCpuMs)];
  const row = (r, ratio) => [r.adapter, ...cells(r), ratio];
  console.log(
    `\n${whole.workload}, ${whole.latencyMs} ms added\n${plain([
      ["", `median, ${whole.unit}`, "round trips", "bytes", "client CPU ms", "without / with"],
      [row(whole, ""), row(without, gain.toFixed(2))],
    ])}`,
  );
}

/** Every workload and latency that was run, in the order of the workloads. */
function runs(results) {
  const seen = new Set(results.map((r) => JSON.stringify([r.workload, r.latencyMs])));
  const order = Object.keys(workloads);
  return [...seen]
    .map((key) => JSON.parse(key))
    .sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0]) || a[1] - b[1]);
}

export function printTable(results, verdicts) {
  for (const [workload, latencyMs] of runs(results)) {
    const [head, rows] = systemTable(results, workload, latencyMs);
    console.log(
      `\n${workload}, ${latencyMs} ms added\n${plain([head.slice(0, 6), rows.map((row) => row.slice(0, 6))])}`,
    );
  }
  if (verdicts.length > 0) console.log(`\nTargets\n${plain(verdictTable(verdicts))}`);
}

/** The reasons why systems were left out, one row for each system and reason. */
function leftOutTable(leftOut) {
  const rows = new Map();
  for (const { workload, adapter, latencyMs, reason } of leftOut) {
    const key = JSON.stringify([adapter, reason]);
    rows.set(key, [...(rows.get(key) ?? []), latencyMs === 0 ? workload : `${workload} (${latencyMs} ms)`]);
  }
  const cells = [...rows].map(([key, names]) => [...JSON.parse(key), names.join(", ")]);
  return [["system", "reason", "workloads"], cells];
}

export function writeReport(dir, { results, verdicts, failures, leftOut }) {
  const machine = `${cpus().length} cores (${cpus()[0].model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}`;
  const parts = [
    "# Benchmark report",
    `Written by \`bench/run.mjs\`. Machine: ${machine}; Node.js ${process.version}. Raw results: [results.jsonl](results.jsonl).`,
    'Round trips, bytes, pages and processor time are for one operation. "to pagewire" is how many times as long the ' +
      "system takes (for rates: how many times as much Pagewire does): over 1, Pagewire is faster. " +
      "Rounds are their number, and the medians of the fastest and the slowest.",
    "![medians relative to Pagewire](chart.svg)",
    "## Targets",
    "The floor is the least that was measured without any system; bench/README.md says how.",
    markdown(...verdictTable(verdicts)),
  ];
  for (const [workload, latencyMs] of runs(results)) {
    parts.push(`## ${workload}, ${latencyMs} ms added`, `${workloads[workload].what}.`);
    parts.push(markdown(...systemTable(results, workload, latencyMs)));
  }
  if (failures.length > 0) {
    const rows = failures.map((f) => [f.workload, String(f.latencyMs), f.adapter, f.error]);
    parts.push("## What peers could not do", markdown(["workload", "added ms", "system", "reason"], rows));
  }
  if (leftOut.length > 0) parts.push("## What was left out", markdown(...leftOutTable(leftOut)));
  writeFileSync(join(dir, "README.md"), `${parts.join("\n\n")}\n`);
  writeFileSync(join(dir, "chart.svg"), chart(results, runs(results)));
}
