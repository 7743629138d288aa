// The same as ../index.ts, for import. There is one implementation, so that import and require in one
// process share the library, its channels and the class PagewireError.

export type * from "../index.js";
export { Channel, connect, connectSync, Database, Kv, PagewireError, Statement, Transaction } from "../index.js";
