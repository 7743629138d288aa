// A Pagewire server for development and tests, as a child process that ends with this one.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { PagewireError } from "./errors.js";
import { findCommand } from "./loader.js";
import { checkNames, type Names } from "./names.js";

export interface ServerOptions {
  /** Where the data is. Without it, a temporary directory that the server removes when it ends. */
  dataDir?: string | undefined;
  /** The bearer token that clients must send. Without it, every process on this machine may connect. */
  token?: string | undefined;
  /** The port on 127.0.0.1; any free one unless told otherwise. */
  port?: number | undefined;
  /** More arguments for `pagewire serve`; they win, such as --drain-grace, which is short unless told otherwise. */
  args?: readonly string[] | undefined;
  /** The `pagewire` program, if it is not the one that came with the package. */
  command?: string | undefined;
  /** Milliseconds for the server to be ready, 30 s unless told otherwise. */
  timeout?: number | undefined;
}

const names: Names<ServerOptions> = {
  dataDir: true,
  token: true,
  port: true,
  args: true,
  command: true,
  timeout: true,
};

export interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly token: string | undefined;
  readonly pid: number;
  /** Ends when the server has, however it came to that. */
  readonly exited: Promise<void>;
  /** Lets the server drain and end. */
  stop(): Promise<void>;
}

const ready = /^pagewire: listening on (ws\S+)$/m;
const keptOutput = 16 * 1024;

// The server's own settings come from the options alone, but for the switches of benchmarks. Arguments are seen by every user of the machine,
// so the token goes through the child's environment.
function environment(token: string | undefined): NodeJS.ProcessEnv {
  const passed = ([name]: [string, unknown]) => !name.startsWith("PAGEWIRE_") || name === "PAGEWIRE_TUNE";
  const env = Object.fromEntries(Object.entries(process.env).filter(passed));
  return token === undefined ? env : { ...env, PAGEWIRE_TOKEN: token };
}

/** The end of what the server wrote, for error messages. */
class Output {
  text = "";
  add(chunk: string): void {
    this.text = (this.text + chunk).slice(-keptOutput);
  }
}

/** Starts a server on 127.0.0.1. Rejects with "server_failed", whose message holds what the server wrote. */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  checkNames("startServer", options, names);
  const command = options.command ?? findCommand();
  if (!existsSync(command)) {
    throw new PagewireError("server_failed", `the program ${command} is missing; build it with: npm run build`);
  }
  const args = [
    "serve",
    ...(options.dataDir === undefined ? ["--ephemeral"] : ["--data", options.dataDir]),
    ...["--listen", `127.0.0.1:${options.port ?? 0}`],
    ...["--drain-grace", "100ms"],
    "--exit-with-stdin",
    ...(options.args ?? []),
  ];
  const env = environment(options.token);
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  try {
    const url = await listening(child, options.timeout ?? 30_000);
    unrefAll(child);
    const stop = async () => {
      child.ref();
      child.stdin.end(); // which has it drain, on every platform
      await exited;
    };
    let stopped: Promise<void> | undefined;
    const server = {
      url,
      token: options.token,
      pid: child.pid!,
      exited,
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
      [Symbol.asyncDispose]: () => server.stop(),
    };
    return server;
  } catch (error) {
    child.kill("SIGKILL");
    if (child.pid !== undefined) await exited;
    throw error;
  }
}

// A server that nobody stops must not keep this process alive; it ends when its standard input does.
function unrefAll(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) {
    (stream as unknown as { unref?(): void } | null)?.unref?.();
  }
}

/** Waits for the line that says where the server listens. */
function listening(child: ChildProcess, timeout: number): Promise<string> {
  const out = new Output();
  const errors = new Output();
  return new Promise((resolve, reject) => {
    const refuse = (what: string, cause?: unknown) => {
      clearTimeout(timer);
      const said = `${errors.text}${out.text}`.trim();
      reject(new PagewireError("server_failed", `${what}${said === "" ? "" : `:\n${said}`}`, { cause }));
    };
    const timer = setTimeout(() => refuse(`the server was not ready within ${timeout} ms`), timeout);
    const look = (output: Output) => (chunk: string) => {
      output.add(chunk);
      const url = ready.exec(output.text)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    };
    child.stdout!.setEncoding("utf8").on("data", look(out));
    child.stderr!.setEncoding("utf8").on("data", look(errors));
    child.stdin!.on("error", () => {}); // the server's end is told by its exit
    child.once("error", (error) => refuse(`the server could not be started: ${error.message}`, error));
    child.once("close", (code, signal) => refuse(`the server ended with ${signal ?? `code ${code}`}`));
  });
}
