// The process of one system: does what run.mjs says over IPC, one thing at a time, and ends when run.mjs does.
// Its only argument is JSON: { name, file, variant, dir, latencyMs, quick, service }.

import { setTimeout as sleep } from "node:timers/promises";
import { workloads } from "./workloads/index.mjs";

const options = JSON.parse(process.argv[2]);

/** What an adapter needs of its service beyond addresses. */
function service({ service: told }) {
  if (told?.direct === undefined) return told;
  return {
    ...told,
    async untilRegistered(headers) {
      for (let i = 0; i < 300; i++) {
        const answer = await fetch(`${told.direct}/envoys?namespace=default&name=default`, { headers });
        if (answer.ok && (await answer.json()).envoys.length > 0) return;
        await sleep(100);
      }
      throw new Error("the actor host did not register with the engine");
    },
  };
}

const { default: create } = await import(`./adapters/${options.file}.mjs`);
const system = await create({ ...options, service: service(options) });
let state;

/** The system with databases of the workload's own: what keeps its server for all of them has others' too. */
const ownOf = (workload) => ({
  ...system,
  open: (name) => system.open(`${workload}-${name}`),
  openKv: (name) => system.openKv(`${workload}-${name}`),
  remove: (name) => system.remove(`${workload}-${name}`),
});

const orders = {
  prepare: async ({ workload }) => {
    const prepare = () => workloads[workload].prepare?.(ownOf(workload), options);
    state = await (system.unmeasured?.(prepare) ?? prepare());
  },
  round: ({ workload, round }) => workloads[workload].round(ownOf(workload), state, round, options),
  finish: () => system.closeAll?.(),
};

process.on("message", async ({ order, ...details }) => {
  try {
    process.send({ result: await orders[order](details) });
  } catch (error) {
    process.send({ error: error.stack ?? String(error) });
  }
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {}); // of the terminal, to the whole group: run.mjs ends this process
process.send({ result: "ready" });
