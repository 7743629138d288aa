// The same as ../rivetkit.ts, for import.

export type * from "../rivetkit.js";
export { pagewire } from "../rivetkit.js";
