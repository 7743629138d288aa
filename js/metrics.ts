// The engine's counters (pw_metrics) with names. docs/metrics.md documents them; they are a contract.

/** Durations in milliseconds. */
export interface DurationMetrics {
  count: number;
  totalMs: number;
  maxMs: number;
}

/** What a database's statements did since it was opened. */
export interface SqlMetrics {
  exec: DurationMetrics;
  run: DurationMetrics;
  get: DurationMetrics;
  all: DurationMetrics;
  batch: DurationMetrics;
  step: DurationMetrics;
  statements: number;
  errors: number;
  inlineHits: number;
  inlineReruns: number;
  rows: number;
}

/** What they needed of the storage below. Bytes are as of now, the rest since the database was opened. */
export interface VfsMetrics {
  reads: number;
  hits: number;
  misses: number;
  prefetched: number;
  wasted: number;
  commits: number;
  commitPages: number;
  stagedBytes: number;
  pendingBytes: number;
  cacheBytes: number;
}

export interface DatabaseMetrics {
  sql: SqlMetrics;
  vfs: VfsMetrics;
}

const operations = ["exec", "run", "get", "all", "batch", "step"] as const;
const sqlCounters = ["statements", "errors", "inlineHits", "inlineReruns", "rows"] as const;
const vfsCounters = [
  "reads",
  "hits",
  "misses",
  "prefetched",
  "wasted",
  "commits",
  "commitPages",
  "stagedBytes",
  "pendingBytes",
  "cacheBytes",
] as const;

/** Names the members of pw_metrics, which come in its order. */
export function nameMetrics(raw: readonly number[]): DatabaseMetrics {
  const metrics = noMetrics();
  operations.forEach((name, i) => {
    const at = (i + 1) * 3; // kind 0 is unused
    metrics.sql[name] = { count: raw[at]!, totalMs: raw[at + 1]! / 1e6, maxMs: raw[at + 2]! / 1e6 };
  });
  const counters = 7 * 3;
  sqlCounters.forEach((name, i) => {
    metrics.sql[name] = raw[counters + i]!;
  });
  vfsCounters.forEach((name, i) => {
    metrics.vfs[name] = raw[counters + sqlCounters.length + i]!;
  });
  return metrics;
}

/** Metrics of no database at all. */
export function noMetrics(): DatabaseMetrics {
  const none = () => ({ count: 0, totalMs: 0, maxMs: 0 });
  return {
    sql: {
      exec: none(),
      run: none(),
      get: none(),
      all: none(),
      batch: none(),
      step: none(),
      statements: 0,
      errors: 0,
      inlineHits: 0,
      inlineReruns: 0,
      rows: 0,
    },
    vfs: {
      reads: 0,
      hits: 0,
      misses: 0,
      prefetched: 0,
      wasted: 0,
      commits: 0,
      commitPages: 0,
      stagedBytes: 0,
      pendingBytes: 0,
      cacheBytes: 0,
    },
  };
}

/** Adds the metrics of one database to those of several. */
export function addMetrics(to: DatabaseMetrics, from: DatabaseMetrics): void {
  for (const name of operations) {
    to.sql[name].count += from.sql[name].count;
    to.sql[name].totalMs += from.sql[name].totalMs;
    to.sql[name].maxMs = Math.max(to.sql[name].maxMs, from.sql[name].maxMs);
  }
  for (const name of sqlCounters) to.sql[name] += from.sql[name];
  for (const name of vfsCounters) to.vfs[name] += from.vfs[name];
}
