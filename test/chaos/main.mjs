// Chaos: a real server and real clients, which are killed, paused and cut off at random while they work, and at the end
// everything that was promised is looked for. See docs/reliability.md.
//
// SECONDS says how long (30), SEED repeats a plan, ACTORS and CLIENTS how many. Ends with one line of figures, and with
// code 1 if anything is wrong; the logs are kept then.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { connect } from "pagewire";
import { startServer } from "pagewire/server";
import { auditActor, readPromises } from "./audit.mjs";
import { FaultProxy } from "./proxy.mjs";
import { seeded } from "./random.mjs";
import { schema } from "./schema.mjs";

const number = (name, otherwise) => {
  const n = Number(process.env[name] || otherwise);
  if (!Number.isSafeInteger(n) || n < 1)
    throw new Error(`${name} is ${process.env[name]}: it must be a whole number from 1 on`);
  return n;
};
const seconds = number("SECONDS", 30);
const seed = number("SEED", (Date.now() % 1_000_000) + 1);
const actors = Array.from({ length: number("ACTORS", 5) }, (_, i) => `actor-${i}`);
const clients = number("CLIENTS", 5);
/** How long a client may take to finish once the network is calm, in milliseconds. */
const patience = 45_000;

const token = "secret-of-this-test";
const directory = mkdtempSync(join(tmpdir(), "pagewire-chaos-"));
const logs = join(directory, "logs");
mkdirSync(logs);
const random = seeded(seed);
const counts = { serverKills: 0, clientKills: 0, pauses: 0 };
const violations = [];
const running = new Map(); // clients, by name
let server;
let proxy;
let keep = false;
setInterval(() => {}, 60_000); // neither the server nor an idle channel keeps a program alive

// No process and no file is left, whatever ends this one.
process.on("exit", () => {
  for (const { child } of running.values()) child.kill("SIGKILL");
  if (server !== undefined) kill(server.pid, "SIGKILL");
  if (!keep) rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
]) {
  process.on(signal, () => process.exit(code));
}

function kill(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

async function start(port) {
  const args = ["--log-level", "error", "--ping-interval", "1s", "--ping-timeout", "2s"];
  server = await startServer({ dataDir: join(directory, "data"), token, port, args });
}

async function restart() {
  const { pid, exited, url } = server;
  kill(pid, "SIGKILL");
  await exited;
  await start(Number(new URL(url).port));
}

let born = 0;
function startClient() {
  const name = `c${++born}`;
  const threads = born % 3 === 0;
  const config = { name, url: proxy.url, token, seed: random.seed(), log: join(logs, name), actors, threads };
  const program = fileURLToPath(new URL("client.mjs", import.meta.url));
  const child = spawn(process.execPath, [program, JSON.stringify(config)], { stdio: ["pipe", "ignore", "pipe"] });
  child.stdin.on("error", () => {}); // it was killed
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk) => {
    said = (said + chunk).slice(-20_000);
  });
  const client = { name, child, killed: false, paused: false };
  client.ended = once(child, "close").then(([code, signal]) => {
    running.delete(name);
    if (code !== 0 && !client.killed)
      violations.push(`client ${name} ended with ${signal ?? `code ${code}`}:\n${said}`);
  });
  running.set(name, client);
}

/** Does something to a client or the server every so often, until the time is over. */
async function every(low, high, until, run) {
  for (;;) {
    const wait = random.between(low, high);
    if (Date.now() + wait >= until) return;
    await later(wait);
    await run();
  }
}

async function killClient() {
  const client = random.pick([...running.values()]);
  client.killed = true;
  client.child.kill("SIGKILL");
  counts.clientKills++;
  await client.ended;
  startClient();
}

async function pauseClient(until) {
  const client = random.pick([...running.values()].filter(({ paused }) => !paused));
  if (client === undefined) return;
  counts.pauses++;
  client.paused = true;
  client.child.kill("SIGSTOP");
  await later(Math.min(random.between(100, 6000), Math.max(0, until - Date.now())));
  client.child.kill("SIGCONT");
  client.paused = false;
}

async function finishClients() {
  for (const { child } of running.values()) child.stdin.write("stop\n");
  const all = Promise.all([...running.values()].map(({ ended }) => ended));
  const timer = setTimeout(() => {
    for (const client of running.values()) {
      violations.push(`client ${client.name} did not finish: a call never settled. SIGABRT follows`);
      client.child.kill("SIGABRT");
    }
  }, patience);
  await all;
  clearTimeout(timer);
}

async function audit() {
  await restart(); // what counts is what is on disk
  const promises = readPromises(logs);
  violations.push(...promises.violations);
  const lost = [];
  const duplicated = [];
  const channel = await connect({ url: server.url, token });
  for (const actor of actors) {
    const db = await channel.open(actor, { mode: "takeover" });
    await auditActor(db, promises.attempts, {
      lost: (text) => lost.push(text),
      duplicated: (text) => duplicated.push(text),
      wrong: (text) => violations.push(text),
    });
    await db.close();
  }
  await channel.close();
  return { ...promises, lost, duplicated };
}

console.log(`chaos: ${seconds} s, SEED=${seed}, ${clients} clients, ${actors.length} actors`);
await start(0);
const channel = await connect({ url: server.url, token });
for (const actor of actors) {
  const db = await channel.open(actor);
  await db.exec(schema);
  await db.close();
}
await channel.close();
proxy = new FaultProxy(Number(new URL(server.url).port), seeded(random.seed()));
await proxy.listen();
for (let i = 0; i < clients; i++) startClient();
const until = Date.now() + seconds * 1000;
proxy.start();
await Promise.all([
  later(seconds * 1000),
  every(2000, 8000, until, async () => {
    counts.serverKills++;
    await restart();
  }),
  every(1500, 5000, until, killClient),
  every(500, 4000, until, () => pauseClient(until)),
]);
proxy.calm();
await finishClients();
proxy.close();
const { attempts, events, lost, duplicated } = await audit();
await server.stop();
server = undefined;

const outcomes = { ok: 0, refused: 0, unknown: 0 };
for (const { outcome } of attempts.values()) outcomes[outcome]++;
const problems = [
  ...lost.map((text) => `lost: ${text}`),
  ...duplicated.map((text) => `duplicated: ${text}`),
  ...violations,
];
const fine = problems.length === 0 && outcomes.ok > 0;
keep = !fine || process.env.KEEP === "1";
for (const text of problems.slice(0, 50)) console.log(`VIOLATION ${text}`);
if (problems.length > 50) console.log(`and ${problems.length - 50} more`);
if (keep) console.log(`kept: ${directory}\nagain: make chaos SECONDS=${seconds} SEED=${seed}`);
const faults = Object.entries(proxy.counts).map(([kind, n]) => `${kind} ${n}`);
console.log(
  [
    `chaos: ${seconds} s, seed ${seed}: ${outcomes.ok} commits acknowledged, ${outcomes.refused} refused, ${outcomes.unknown} left open`,
    `${events.disconnect ?? 0} disconnects`,
    `kills ${counts.serverKills} of the server, ${counts.clientKills} of clients, ${events.terminate ?? 0} of worker threads`,
    `${counts.pauses} pauses, ${events.takeover ?? 0} takeovers, ${events.lock_lost ?? 0} locks lost`,
    `faults: ${faults.join(", ")}; lost ${lost.length}, duplicated ${duplicated.length}, other violations ${violations.length}: ${fine ? "PASSED" : "FAILED"}`,
  ].join("; "),
);
process.exit(fine ? 0 : 1);
