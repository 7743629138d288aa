// Pagewire: a SQLite database for every actor, in this process, without a local disk.

export type { BatchItem } from "./batch.js";
export {
  type CacheMetrics,
  Channel,
  type ChannelEvents,
  type ChannelMetrics,
  type ChannelOpMetrics,
  type OpenMode,
  type OpenOptions,
  type ServerLimits,
} from "./channel.js";
export { type ConnectOptions, connect, connectSync } from "./connect.js";
export { Database } from "./database.js";
export { PagewireError, type PagewireErrorDetails } from "./errors.js";
export {
  Kv,
  type KvBytes,
  type KvEntry,
  type KvListOptions,
  type KvOpened,
  type KvOpenOptions,
  type KvPreloadPrefix,
} from "./kv.js";
export type { Limits } from "./limits.js";
export type { DatabaseMetrics, DurationMetrics, SqlMetrics, VfsMetrics } from "./metrics.js";
export type { CallOptions, Integers, Params, RowMode, RunResult, Value } from "./options.js";
export type { Cell, Row } from "./rows.js";
export { Statement } from "./statement.js";
export { Transaction } from "./transaction.js";
