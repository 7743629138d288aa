// The values that callers bind: what is wrong with those that cannot be.

/** Checks that params is an array or an object of names; the bridge checks the values. */
export function checkParams(params: unknown): void {
  if (params === undefined || Array.isArray(params)) return;
  if (typeof params !== "object" || params === null || Object.prototype.toString.call(params) !== "[object Object]") {
    const what = typeof params === "object" && params !== null ? params.constructor?.name : String(params);
    throw new TypeError(`params: ${what} is neither an array of values nor an object of named ones`);
  }
}

// What to bind instead of a value that cannot be, by its type or class.
const instead: Record<string, string> = {
  undefined: "use null",
  nan: "SQLite has no NaN; use null",
  Date: "use a number (date.getTime()) or a string (date.toISOString())",
  ArrayBuffer: "use a Uint8Array over it",
  SharedArrayBuffer: "use a Uint8Array copy of it",
  Promise: "await it first",
  Array: "bind its items one by one, or use JSON.stringify()",
  object: "use JSON.stringify(), or name the field to bind",
};

/** The TypeError that names a parameter which cannot be bound; `where` counts from 1 or is a name. */
export function badParameter(where: number | string, value: unknown, why: string): never {
  const what = describe(value, why);
  throw new TypeError(`parameter ${typeof where === "number" ? where : JSON.stringify(where)}: ${what}`);
}

function describe(value: unknown, why: string): string {
  if (why === "nan") return `NaN cannot be bound; ${instead.nan}`;
  if (why === "range") return "a bigint beyond 64 bits cannot be bound; use a string or a Uint8Array";
  if (why === "surrogate") {
    return "a string with half of a surrogate pair cannot be bound, for UTF-8 cannot hold it; use toWellFormed(), or a Uint8Array";
  }
  if (value === undefined) return `undefined cannot be bound; ${instead.undefined}`;
  if (typeof value !== "object" || value === null) return `a ${typeof value} cannot be bound`;
  if (ArrayBuffer.isView(value)) {
    return `a ${value.constructor.name} cannot be bound; use a Uint8Array over its buffer`;
  }
  const name = Object.prototype.toString.call(value).slice(8, -1);
  const made = value.constructor?.name || "object";
  const hint = instead[name] ?? instead.object;
  return made === "Object" || made === "object"
    ? `an object cannot be bound; ${hint}`
    : `${/^[AEIOU]/.test(made) ? "an" : "a"} ${made} cannot be bound; ${hint}`;
}
