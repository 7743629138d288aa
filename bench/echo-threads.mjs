// The server of echo-threads.c. Run with fork(), the path of its file as its argument; sends { port }.

import { addon } from "./compile.mjs";

process.send({ port: addon("echo-threads").serve(process.argv[2]) });
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {}); // of the terminal, to the whole group: run.mjs ends this process
