// A process that does nothing but measure its own event loop: what it shows is the machine's share of the delay.
// Run with fork(). Starts at the message "start"; at "stop" sends the histogram's percentiles in nanoseconds.

import { monitorEventLoopDelay } from "node:perf_hooks";

const histogram = monitorEventLoopDelay({ resolution: 1 });
process.on("message", (order) => {
  if (order === "start") {
    histogram.enable();
    process.send("started");
    return;
  }
  histogram.disable();
  process.send({ p50: histogram.percentile(50), p99: histogram.percentile(99), max: histogram.max });
});
process.on("disconnect", () => process.exit(0));
