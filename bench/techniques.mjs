// Pagewire's techniques that can be switched off, to see what each is worth: `node bench/run.mjs --techniques`. Each is
//
//   what     one line for the report
//   runs     [workload, added milliseconds] where it should matter, and where it may cost
//   beside   the technique that both are measured without
//   options  of channel.open(), if one of them switches it off; else PAGEWIRE_TUNE=no-NAME does, in client and server

export const techniques = {
  "inline-reads": {
    what: "reads that find their pages in the cache run on the calling thread",
    runs: [
      ["warm-point-read", 0],
      ["warm-point-read-sync", 0],
      ["rows-10k", 0],
      ["cold-index-lookup", 10],
    ],
  },
  "point-reads": {
    what: "a row of a statement that is read often is read without an operation",
    runs: [
      ["warm-point-read", 0],
      ["warm-point-read-sync", 0],
    ],
  },
  "held-reads": {
    what: "a read transaction stays open between such reads",
    runs: [
      ["warm-point-read", 0],
      ["warm-point-read-sync", 0],
    ],
  },
  "inline-writes": {
    what: "short writes of a transaction run on the calling thread",
    runs: [
      ["insert-1000-tx", 0],
      ["insert-1000-tx", 10],
    ],
  },
  "resident-writes": {
    what: "such writes do without a savepoint while all pages of the database are cached",
    runs: [
      ["insert-1000-tx", 0],
      ["insert-1000-tx", 10],
    ],
  },
  merge: {
    what: "commits that wait behind one in flight are written as one",
    runs: [
      ["insert-100-concurrent", 0],
      ["insert-100-concurrent", 10],
    ],
  },
  hold: {
    what: "a commit waits for the short writes that are queued behind it, to be written as one with them",
    runs: [
      ["insert-100-concurrent", 0],
      ["insert-100-concurrent", 10],
    ],
  },
  "parallel-reads": {
    what: "the server looks the pages of a large fetch up on several processors",
    runs: [
      ["cold-scan-fragmented", 0],
      ["cold-scan-50mib", 0],
    ],
  },
  readahead: {
    what: "the pages that a scan will read next come with the one that it misses",
    runs: [
      ["cold-scan-50mib", 0], // with 10 ms added, two minutes a round
    ],
  },
  lookups: {
    what: "the leaves of the table that the next entries of an index point to come with the one that is missed",
    runs: [
      ["cold-index-lookup", 0],
      ["cold-index-lookup", 10],
    ],
  },
  chains: {
    what: "the overflow chains of the next rows come with the one that is missed",
    runs: [["cold-scan-spilled", 0]], // with 10 ms added, a minute a round
  },
  expand: {
    what: "the server follows pointers of B-tree pages and overflow chains by itself",
    beside: "preload", // which brings interior pages before they are missed
    runs: [
      ["open-first-query", 10],
      ["cold-index-lookup", 10],
      ["cold-scan-fragmented", 10],
    ],
  },
  preload: {
    what: "an open brings the pages that the last session began with, and interior pages",
    runs: [
      ["open-first-query", 0],
      ["open-first-query", 10],
      ["cold-index-lookup", 10],
    ],
    options: { preload: 0 },
  },
  "fed-batches": {
    what: "a long batch runs while JavaScript packs its later items",
    runs: [
      ["insert-1000-batch", 0],
      ["insert-1000-batch", 10],
    ],
  },
  "page-pool": {
    what: "memory of pages, SQLite's caches too, comes in pieces of 1 MiB, and is used again",
    runs: [
      ["insert-1000-tx", 0],
      ["insert-1000-batch", 0],
      ["row-1mib", 0],
      ["row-10mib", 0],
      ["cold-scan-50mib", 0],
    ],
  },
  processors: {
    what: "Go has more processors than the machine, for threads of C keep some in the client, and a sync one in the server",
    runs: [
      ["insert-autocommit", 0],
      ["actors-16", 0],
      ["actors-1000", 0],
      ["cold-scan-50mib", 0],
    ],
  },
  "timer-slack": {
    what: "Go's monitor sleeps half a millisecond longer between two looks, in client and server",
    runs: [
      ["insert-autocommit", 0],
      ["insert-autocommit", 10],
      ["insert-1000-batch", 0],
      ["actors-16", 0],
      ["actors-1000", 0],
    ],
  },
  "log-fill": {
    what: "the server writes new logs with zeros ahead of their records",
    runs: [
      ["insert-autocommit", 0],
      ["actors-16", 0],
    ],
  },
};
