// An idle channel does not keep a process alive, so a test that waits for nothing but an event of one would be ended by
// Node.js as stuck. Import this where events are waited for.

import { after, before } from "node:test";

let timer;
before(() => {
  timer = setInterval(() => {}, 60_000);
});
after(() => clearInterval(timer));
