// One process of the chat:
// node main.js --pagewire ws://127.0.0.1:6420 --port 8081 --peer http://127.0.0.1:8082 [--idle 30000]
// The Pagewire server's token is read from the environment: PAGEWIRE_TOKEN.

import { once } from "node:events";
import { parseArgs } from "node:util";
import { connect } from "pagewire";
import { Rooms } from "./rooms.js";
import { createChat } from "./server.js";

const { values } = parseArgs({
  options: {
    pagewire: { type: "string", default: "ws://127.0.0.1:6420" },
    port: { type: "string", default: "8081" },
    peer: { type: "string", multiple: true, default: [] },
    idle: { type: "string", default: "30000" },
  },
});

const log = (details) => console.log(JSON.stringify(details));
const channel = await connect({ url: values.pagewire, token: process.env.PAGEWIRE_TOKEN });
const rooms = new Rooms(channel, { peers: values.peer, idleMs: Number(values.idle), log });
const http = await createChat(rooms);
http.listen(Number(values.port), "127.0.0.1");
await once(http, "listening");
log({ event: "listening", url: `http://127.0.0.1:${http.address().port}` });

async function stop() {
  http.close();
  await rooms.close();
  http.closeAllConnections();
  await channel.close();
  process.exit();
}
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
