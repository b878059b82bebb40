/** A breaker's state as a mark, and its states over time as a strip. */

import { draw, make } from "./dom.js";
import { clock, say } from "./words.js";

const LOOKS = { closed: ["●", "good"], open: ["▲", "bad"], half_open: ["◐", "warn"] };
const [WIDTH, HEIGHT] = [300, 14];

/** A state in shape, colour and word. */
export function stateMark(state) {
  const [shape, tone] = LOOKS[state] ?? ["–", "quiet"];
  return make("span", { class: `state ${tone}` }, make("span", { "aria-hidden": "true" }, shape), say(`breaker_${state}`));
}

/** The turns of one llm's breaker from records of the audit log, oldest first: [{at, to, seq}]. */
export function transitionsOf(records, llmId) {
  const own = records.filter(({ resource }) => resource === `llm:${llmId}`);
  return own.map(({ timestamp, details, seq }) => ({ at: timestamp, to: details?.to, seq })).sort((one, other) => one.seq - other.seq);
}

/** The states between two times (ms), as [{state, from, to}]; what was before the first turn follows from it. */
export function periods(turns, state, since, until) {
  const inside = turns.filter(({ at }) => Date.parse(at) >= since);
  const first = inside.length === 0 ? state : before(inside[0].to);
  const edges = [{ state: first, from: since }, ...inside.map(({ at, to }) => ({ state: to, from: Date.parse(at) }))];
  return edges.map((edge, index) => ({ ...edge, to: edges[index + 1]?.from ?? until }));
}

/** The strip. */
export function timeline(turns, state, since, until) {
  const found = periods(turns, state, since, until);
  const x = (at) => ((at - since) / (until - since)) * WIDTH;
  const bad = found.filter((period) => period.state === "open");
  const openMs = bad.reduce((total, { from, to }) => total + to - from, 0);
  const label = bad.length === 0 ? say("strip_calm", { since: clock(since) }) : say("strip_open", { since: clock(since), count: bad.length, minutes: Math.max(1, Math.round(openMs / 60_000)) });
  return draw(
    "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "strip", role: "img", "aria-label": label, preserveAspectRatio: "none" },
    ...found.map(({ state: name, from, to }) => draw("rect", { class: LOOKS[name]?.[1] ?? "quiet", x: x(from), y: name === "open" ? 0 : name === "half_open" ? 3 : 6, width: Math.max(1.5, x(to) - x(from)), height: name === "open" ? 14 : name === "half_open" ? 11 : 8 })),
  );
}

const before = (to) => (to === "open" ? "closed" : "open");
