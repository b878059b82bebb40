/** From counters at several times to rates, ratios and quantiles. Null means: nothing to compute it from. */

/** How much a counter rose over readings in order; a fall is a restart, after which it began at 0. */
export function increase(values) {
  let total = 0;
  for (let index = 1; index < values.length; index += 1) {
    const [before, after] = [values[index - 1] ?? 0, values[index] ?? 0];
    total += after >= before ? after - before : after;
  }
  return total;
}

/** The same for cumulative buckets; the count of the last one decides whether there was a restart. */
export function bucketIncrease(histograms) {
  const sums = new Map();
  for (let index = 1; index < histograms.length; index += 1) {
    const [before, after] = [histograms[index - 1] ?? [], histograms[index] ?? []];
    const restarted = (after.at(-1)?.[1] ?? 0) < (before.at(-1)?.[1] ?? 0);
    const base = new Map(restarted ? [] : before);
    for (const [bound, count] of after) sums.set(bound, (sums.get(bound) ?? 0) + count - (base.get(bound) ?? 0));
  }
  return [...sums].sort((a, b) => (a[0] ?? Infinity) - (b[0] ?? Infinity));
}

/**
 * The quantile as Prometheus' histogram_quantile has it: linear within a bucket, the highest finite
 * bound beyond it. Null without observations.
 */
export function quantile(share, histogram) {
  const total = histogram.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const rank = share * total;
  const index = histogram.findIndex(([, count]) => count >= rank);
  const [bound, count] = histogram[index];
  if (bound === null) return histogram[index - 1]?.[0] ?? null;
  const [lower, below] = index > 0 ? histogram[index - 1] : [0, 0];
  return count === below ? bound : lower + ((bound - lower) * (rank - below)) / (count - below);
}

/** The bound of the lowest bucket where the quantile lies in it, which is all that is known then; else null. */
export function floor(share, histogram) {
  const total = histogram.at(-1)?.[1] ?? 0;
  return total > 0 && histogram[0][1] >= share * total ? histogram[0][0] : null;
}

/** Part of whole, or null where the whole is nothing. */
export const ratio = (part, whole) => (whole > 0 ? part / whole : null);

/** Rise per second of one of the `totals` over these readings; null with fewer than two. */
export function rate(readings, name) {
  if (readings.length < 2) return null;
  const seconds = (readings.at(-1).at - readings[0].at) / 1000;
  return seconds > 0 ? increase(readings.map((reading) => reading.totals[name])) / seconds : null;
}

/**
 * The point of the charts at the last of `readings`, which lie in order: rates over `rateMs`,
 * ratio and quantiles over `spanMs` before it.
 */
export function point(readings, rateMs, spanMs) {
  const last = readings.at(-1);
  const within = (ms) => readings.filter((reading) => reading.at >= last.at - ms);
  const [short, long] = [within(rateMs), within(spanMs)];
  const latency = bucketIncrease(long.map((reading) => reading.totals.latency));
  const rise = (name) => increase(long.map((reading) => reading.totals[name]));
  return {
    at: last.at,
    requests: rate(short, "requests"),
    errors: ratio(rise("errors"), rise("requests")),
    p50: quantile(0.5, latency),
    p95: quantile(0.95, latency),
    tokensIn: rate(short, "tokensIn"),
    tokensOut: rate(short, "tokensOut"),
    active: last.gauges.active,
    memory: last.gauges.memory,
  };
}

/** Calls, failures and P95 of each (model, provider) pair over snapshots of `llms` in order. */
export function llmFigures(snapshots) {
  const figures = {};
  for (const key of Object.keys(snapshots.at(-1) ?? {})) {
    const each = snapshots.map((snapshot) => snapshot[key]);
    const calls = increase(each.map((llm) => llm?.calls));
    const failed = increase(each.map((llm) => llm?.failed));
    const latency = bucketIncrease(each.map((llm) => llm?.latency));
    figures[key] = { calls, errors: ratio(failed, calls), p95: quantile(0.95, latency), p95Below: floor(0.95, latency) };
  }
  return figures;
}
