// Random choices that a seed repeats. The timing of processes is not repeated, so a seed brings back the same plan, not
// the same run.

/** Choices of a seed (an integer), by the generator mulberry32. */
export function seeded(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (n) => Math.floor(next() * n);
  return {
    int,
    chance: (p) => next() < p,
    between: (low, high) => low + int(high - low + 1),
    pick: (list) => list[int(list.length)],
    seed: () => int(2 ** 31),
  };
}
