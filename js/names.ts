// Names of options. One that is misspelt must not be ignored: what it was to set may be where the data is kept.

/** The names that an interface of options has: the compiler sees that none is missing. */
export type Names<T> = { readonly [name in keyof Required<T>]: true };

/** Throws if `options` has a name that is not among those known; `call` is whose options they are. */
export function checkNames(call: string, options: object | null | undefined, known: Names<object>): void {
  for (const name in options) {
    if (!Object.hasOwn(known, name)) {
      throw new TypeError(
        `${call}: there is no option ${JSON.stringify(name)}; there are ${Object.keys(known).join(", ")}`,
      );
    }
  }
}
