// The same as ../server.ts, for import.

export type * from "../server.js";
export { startServer } from "../server.js";
