// Pagewire's techniques that can be switched off, to see what each is worth: `node bench/run.mjs --techniques`. Each is
//
//   what     one line for the report
//   runs     [workload, added milliseconds] where it should matter
//   options  of channel.open(), if one of them switches it off; else PAGEWIRE_TUNE=no-NAME does

export const techniques = {
  "inline-reads": {
    what: "reads run on the calling thread, and again on a worker if a page is missing",
    runs: [["warm-point-read", 0]],
  },
  "inline-writes": {
    what: "short writes of a transaction run on the calling thread, in a savepoint",
    runs: [["insert-1000-tx", 0]],
  },
  merge: {
    what: "commits that wait for one under way travel as one",
    runs: [
      ["insert-100-concurrent", 0],
      ["insert-100-concurrent", 10],
    ],
  },
  readahead: {
    what: "a scan fetches the siblings of a page ahead, four times as many each time",
    runs: [["cold-scan-50mib", 0]],
  },
  lookups: {
    what: "the rows that an index leaf leads to are fetched together",
    runs: [["cold-index-lookup", 10]],
  },
  expand: {
    what: "the server follows the pointers of interior and overflow pages itself",
    runs: [["cold-index-lookup", 10]],
  },
  preload: {
    what: "an open brings the pages that the last session began with, and interior pages",
    runs: [["open-first-query", 10]],
    options: { preload: 0 },
  },
};
