/** Reading Prometheus text 0.0.4: only the metrics that the console shows. */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n", '"': '"', "\\": "\\" };

/** The samples of one scrape by metric name; `names` are the ones worth reading. */
export function parse(text, names) {
  const wanted = new Set(names);
  const samples = new Map(names.map((name) => [name, []]));
  for (const line of text.split("\n")) {
    const end = line.search(/[{ ]/);
    if (end < 1 || !wanted.has(line.slice(0, end))) continue;
    const found = LINE.exec(line);
    if (found) samples.get(found[1]).push({ labels: readLabels(found[2]), value: readNumber(found[3]) });
  }
  return samples;
}

/** The sum over the samples that `keep` lets through; null where there is no sample at all. */
export function sum(samples, keep = () => true) {
  const kept = samples.filter((sample) => keep(sample.labels));
  return samples.length === 0 ? null : kept.reduce((total, sample) => total + sample.value, 0);
}

/** Cumulative buckets, summed over the samples that `keep` lets through: [[upper bound, count] …] ascending. */
export function buckets(samples, keep = () => true) {
  const counts = new Map();
  for (const { labels, value } of samples) {
    if (keep(labels)) counts.set(labels.le, (counts.get(labels.le) ?? 0) + value);
  }
  return [...counts].map(([le, count]) => [readNumber(le), count]).sort((a, b) => a[0] - b[0]);
}

function readLabels(text) {
  const labels = {};
  for (const [, name, value] of (text ?? "").matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (whole, letter) => ESCAPES[letter] ?? whole);
  }
  return labels;
}

function readNumber(text) {
  if (text === "+Inf") return Infinity;
  return text === "-Inf" ? -Infinity : Number(text);
}
