// A Pagewire server and two processes of the chat before it, to try in a browser: npm start.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { startServer } from "pagewire/server";

const ports = [8081, 8082];
const server = await startServer();
const main = new URL("main.js", import.meta.url).pathname;
const processes = ports.map((port) => {
  const peers = ports.filter((other) => other !== port).flatMap((other) => ["--peer", `http://127.0.0.1:${other}`]);
  const args = [main, "--pagewire", server.url, "--port", String(port), ...peers];
  return spawn(process.execPath, args, { stdio: "inherit" });
});
console.log(`Open http://127.0.0.1:${ports[0]}/ and http://127.0.0.1:${ports[1]}/, and kill what you like:`);
console.log(`process ${processes.map(({ pid }) => pid).join(", process ")}. Ctrl-C ends all and removes the data.`);
process.once("SIGINT", async () => {
  await Promise.all(processes.map((child) => ended(child)));
  await server.stop();
});

async function ended(child) {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}
