// Runs the command of its arguments and ends it when its parent disconnects, so that no server outlives a benchmark that
// was killed. Run with fork(); sends { pid }.

import { spawn } from "node:child_process";

const [command, ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });
child.once("spawn", () => process.send({ pid: child.pid }));
child.once("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
child.once("exit", (code) => process.exit(code ?? 1));
process.on("disconnect", () => {
  child.kill("SIGTERM");
  setTimeout(() => child.kill("SIGKILL"), 20_000).unref();
});
process.on("SIGINT", () => {}); // of the terminal, to the whole group: the parent ends this
