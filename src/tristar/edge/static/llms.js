/** The table of llms: what the metrics count by upstream name, joined to the llms that clients name. */

import { byId, fill, make, setText } from "./dom.js";
import { pairKey } from "./reading.js";
import { clock, duration, number, percent, say } from "./words.js";

const BUILT_IN = "tristar-built-in";
const SHAPES = ["●", "▲", "◐"];
const TONES = ["good", "bad", "warn"];

/** As the alert HighLLMLatency has it. */
export const P95_ALERT_S = 30;

/**
 * One row per llm, then one per (model, provider) pair that belongs to none of them.
 *
 * `models` is what /v1/models lists (null: not known), `breakers` the states by llm_id, `figures`
 * by pair. A model that does not tell its upstream name is joined to the pair of its own name.
 */
export function rows(models, breakers, figures) {
  const pairs = Object.keys(figures);
  const listed = new Map((models ?? []).map((model) => [model.id, model]));
  const names = [...new Set([...listed.keys(), ...Object.keys(breakers)])].sort();
  const joined = new Map(names.map((name) => [name, pairOf(name, listed.get(name), pairs)]));
  const known = new Set(joined.values());
  const llms = names.map((name) => {
    const pair = joined.get(name);
    const shared = pair === null ? [] : names.filter((other) => other !== name && joined.get(other) === pair);
    return row(name, pair, breakers[name] ?? null, figures[pair], shared);
  });
  return [...llms, ...pairs.filter((pair) => !known.has(pair)).map((pair) => row(null, pair, null, figures[pair], []))];
}

/** Show the table; `since` is when the figures begin, null for the gateway's start. */
export function showLlms({ models, locked, breakers, figures, since, language }) {
  const made = rows(models, breakers, figures ?? {});
  setText(byId("llms-note"), note(made, figures, since));
  fill(byId("llms"), [language, made, locked], () => {
    const columns = ["breaker", "calls", "failed", "p95"];
    const head = [make("th", { scope: "col" }, say("llm")), ...columns.map((name) => make("th", { scope: "col", class: name === "breaker" ? "wide" : "n" }, say(name)))];
    const body = made.length > 0 ? made.map(cells) : [make("tr", {}, make("td", { colspan: "5", class: "quiet" }, say(locked ? "llms_locked" : "llms_none")))];
    return [make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)];
  });
}

function note(made, figures, since) {
  if (figures === null) return say("observed_not");
  const span = since === null ? say("since_start") : say("observed_since", { time: clock(since) });
  return made.some(({ name }) => name === null) && made.some(({ name }) => name !== null) ? `${span} ${say("unjoined")}` : span;
}

function pairOf(name, model, pairs) {
  const upstream = model?.upstream_model ?? name;
  if (model && model.owned_by !== BUILT_IN) {
    const key = pairKey(upstream, model.owned_by);
    return pairs.includes(key) ? key : null;
  }
  const same = pairs.filter((pair) => JSON.parse(pair)[0] === upstream);
  return same.length === 1 ? same[0] : null;
}

function row(name, pair, breaker, figures, shared) {
  const [model, provider] = pair === null ? [null, null] : JSON.parse(pair);
  return { name, model, provider, breaker, shared, calls: figures?.calls ?? null, errors: figures?.errors ?? null, p95: figures?.p95 ?? null, p95Below: figures?.p95Below ?? null };
}

function cells({ name, model, provider, breaker, shared, calls, errors, p95, p95Below }) {
  const from = model === null ? null : model === name && provider === name ? null : name === null ? provider : say("upstream", { model, provider });
  const details = [from, shared.length > 0 ? say("shared", { names: shared.join(", ") }) : null].filter((text) => text !== null);
  return make(
    "tr",
    { class: name === null ? "upstream" : null },
    make("th", { scope: "row" }, make("span", { class: "name" }, name ?? model), details.length > 0 ? make("span", { class: "quiet small under" }, details.join("; ")) : null, breaker === null ? null : make("span", { class: "narrow" }, breakerMark(breaker))),
    make("td", { class: "wide" }, breakerMark(breaker)),
    make("td", { class: "n" }, number(calls)),
    make("td", { class: errors > 0 ? "n warn" : "n" }, percent(errors)),
    make("td", { class: p95 > P95_ALERT_S ? "n bad" : "n" }, p95Below === null ? duration(p95) : `≤ ${duration(p95Below)}`),
  );
}

function breakerMark(state) {
  if (state === null || !(state in SHAPES)) return make("span", { class: "quiet" }, "–");
  return make("span", { class: `state ${TONES[state]}` }, make("span", { "aria-hidden": "true" }, SHAPES[state]), say(`breaker_${state}`));
}
