// Pagewire's techniques that can be switched off, to see what each is worth: `node bench/run.mjs --techniques`. Each is
//
//   what     one line for the report
//   runs     [workload, added milliseconds] where it should matter
//   options  of channel.open(), if one of them switches it off; else PAGEWIRE_TUNE=no-NAME does

export const techniques = {
  "inline-writes": {
    what: "short writes of a transaction run on the calling thread, in a savepoint",
    runs: [["insert-1000-tx", 0]],
  },
  preload: {
    what: "an open brings the pages that the last session began with, and interior pages",
    runs: [["open-first-query", 10]],
    options: { preload: 0 },
  },
};
