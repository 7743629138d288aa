// The command lines of the benchmarks: help, and plain words for what is wrong with them.

import { parseArgs } from "node:util";

/** Says what is wrong and ends. */
export function refuse(message) {
  console.error(message);
  process.exit(2);
}

/** The values of the options, which are described as for parseArgs(); --help prints usage. */
export function optionsOf(usage, options) {
  let values;
  try {
    ({ values } = parseArgs({ options: { ...options, help: { type: "boolean", default: false } } }));
  } catch (error) {
    refuse(`${error.message}\n\n${usage}`);
  }
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  return values;
}

/** The parts of a list with commas; undefined if there is none. */
export const listOf = (text) => text?.split(",").filter((part) => part !== "");

/** The numbers of such a list, none below the least. */
export function numbersOf(name, text, least = 0) {
  const numbers = listOf(text)?.map(Number);
  if (numbers?.length === 0 || numbers?.some((n) => !(n >= least))) {
    refuse(`--${name} takes numbers from ${least} up, with commas in between, not ${JSON.stringify(text)}`);
  }
  return numbers;
}
