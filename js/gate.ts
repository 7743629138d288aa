// Turns. A transaction has its database (or its outer transaction) to itself: calls made meanwhile
// wait here, in the order in which they were made.

import { abortError, PagewireError } from "./errors.js";
import type { Limits } from "./limits.js";

interface Waiter {
  exclusive: boolean;
  go(): void;
  fail(error: unknown): void;
}

/** How long a call waits for a transaction if it has no timeout of its own, in milliseconds. */
const defaultWait = 30_000;

export class Gate {
  #held = false;
  #queue: Waiter[] = [];

  /** Is a transaction running? Then calls must go through later(). */
  get held(): boolean {
    return this.#held;
  }

  /** Takes the gate for a transaction that begins now. Only if it is not held. */
  hold(): void {
    this.#held = true;
  }

  /** Lets in who waits: calls, up to and with the next transaction. */
  release(): void {
    this.#held = false;
    while (!this.#held) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      if (next.exclusive) this.#held = true;
      next.go();
    }
  }

  /** Refuses all who wait. */
  fail(error: unknown): void {
    for (const waiter of this.#queue.splice(0)) waiter.fail(error);
  }

  /** Starts something in its turn; an exclusive one then holds the gate and must release it. */
  later<T>(exclusive: boolean, limits: Limits | undefined, timeout: number, start: () => T | Promise<T>): Promise<T> {
    const signal = limits?.signal;
    const wait = (limits?.timeout ?? timeout) || defaultWait;
    if (signal?.aborted) return Promise.reject(abortError(signal));
    return new Promise<T>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        exclusive,
        go: () => {
          settle();
          try {
            resolve(start());
          } catch (error) {
            if (exclusive) this.release();
            reject(error);
          }
        },
        fail: (error) => {
          settle();
          reject(error);
        },
      };
      const leave = (error: PagewireError) => {
        this.#queue = this.#queue.filter((other) => other !== waiter);
        waiter.fail(error);
      };
      const onAbort = () =>
        leave(
          new PagewireError("aborted", "the call was aborted while it waited for a transaction", {
            cause: signal!.reason,
          }),
        );
      const timer = setTimeout(() => {
        leave(
          new PagewireError(
            "timeout",
            `the call waited ${wait} ms for the transaction that has this database to itself; if it was made inside ` +
              "that transaction's callback, make it on the tx object that the callback is given",
          ),
        );
      }, wait);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#queue.push(waiter);
    });
  }
}
