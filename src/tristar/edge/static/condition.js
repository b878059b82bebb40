/** How things stand: the pill in the head, what needs attention, and the parts that the gateway leans on. */

import { make, put, setText } from "./dom.js";
import { number, percent, say } from "./words.js";

export const ERRORS_ALERT = 0.05; // as the alert HighErrorRate has it
const TONES = { ok: "good", degraded: "warn", down: "bad", draining: "warn", gone: "bad" };
const SHAPES = { ok: "●", degraded: "◐", down: "▲" };

/** The pill: `name` is ok, degraded, down, draining, gone, or null where it is not known yet. */
export function showCondition(pill, name) {
  pill.className = `pill ${TONES[name] ?? ""}`;
  setText(pill.lastElementChild, name === null ? say("loading") : say(`condition_${name}`));
}

/** What an operator should look at now, worst first: [{tone, text}]. */
export function concerns(ready, now) {
  const found = [...ofDependencies(ready), ...(now === null ? [] : ofFigures(now))];
  return found.sort((one, other) => (one.tone === "bad" ? 0 : 1) - (other.tone === "bad" ? 0 : 1));
}

function* ofDependencies(ready) {
  if (ready?.draining) yield { tone: "warn", text: say("attention_draining") };
  for (const [name, part] of Object.entries(ready?.dependencies ?? {})) {
    if (part.status === "ok") continue;
    const reason = [part.mode, part.reason].filter(Boolean).join(": ");
    yield { tone: part.status === "down" ? "bad" : "warn", text: say("attention_dependency", { name, state: say(`state_${part.status}`), reason }) };
  }
}

function* ofFigures({ audit, errors, breakers }) {
  for (const name of breakers.open) yield { tone: "bad", text: say("attention_breaker_open", { name }) };
  for (const name of breakers.half_open) yield { tone: "warn", text: say("attention_breaker_half", { name }) };
  if (audit.lost > 0) yield { tone: "bad", text: say("attention_lost", { count: number(audit.lost) }) };
  if (audit.verified === false) yield { tone: "bad", text: say("attention_verify") };
  if (errors > ERRORS_ALERT) yield { tone: "bad", text: say("attention_errors", { share: percent(errors) }) };
}

/** Show them; `known` is whether enough is known to say that there are none. */
export function showConcerns(box, found, known) {
  const key = JSON.stringify([found, known, document.documentElement.lang]);
  if (box.madeFrom === key) return; // a screen reader announces what changes
  box.madeFrom = key;
  if (found.length === 0) put(box, known ? make("p", { class: "good" }, say("calm")) : null);
  else put(box, make("ul", {}, ...found.map(({ tone, text }) => make("li", { class: tone }, text))));
}

/** One item per part. */
export function dependencies(ready) {
  const parts = Object.entries(ready?.dependencies ?? {});
  if (parts.length === 0) return [make("li", { class: "quiet" }, say("dependencies_none"))];
  return parts.map(([name, part]) => make(
    "li", {},
    make("span", { class: `state ${TONES[part.status] ?? ""}` }, make("span", { "aria-hidden": "true" }, SHAPES[part.status] ?? "–"), say(`state_${part.status}`)),
    make("span", { class: "strong" }, name), make("span", { class: "quiet small" }, say(part.required ? "required" : "optional")),
    part.status === "ok" ? null : make("span", { class: "why small" }, [part.mode, part.reason].filter(Boolean).join(": ")),
  ));
}
