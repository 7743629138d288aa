// Medians, percentiles and rounding: the only statistics that the benchmarks use.

/** The value below which a share q (0 to 1) of the samples lies. */
export function quantile(samples, q) {
  const sorted = Float64Array.from(samples).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

export function median(samples) {
  const sorted = Float64Array.from(samples).sort();
  const mid = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[mid] : (sorted[mid - 1] + sorted[mid]) / 2;
}

/** Rounds to so many significant digits. */
export const round = (value, digits = 4) => Number(value.toPrecision(digits));

/** A few digits of a figure for people. */
export function figure(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return "-";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(round(value, 3));
}
