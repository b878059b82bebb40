/** How things stand: the pill in the head, what needs attention, the dependencies, the audit log. */

import { byId, fill, make, setText } from "./dom.js";
import { ERRORS_ALERT } from "./overview.js";
import { P95_ALERT_S } from "./llms.js";
import { duration, number, percent, say } from "./words.js";

const TONES = { ok: "good", degraded: "warn", down: "bad", draining: "warn", gone: "bad", paused: "" };

/** The pill: `name` is ok, degraded, down, draining, gone, paused or null (not known yet). */
export function showCondition(name) {
  const pill = byId("condition");
  pill.className = `pill ${TONES[name] ?? ""}`;
  setText(pill.lastElementChild, name === null ? say("loading") : say(`condition_${name}`));
}

/** What an operator should look at now, worst first: [{tone, text}]. */
export function concerns({ ready, reading, latest, llms }) {
  const found = [];
  const add = (tone, name, slots) => found.push({ tone, text: say(name, slots) });
  if (ready?.draining) add("warn", "attention_draining");
  for (const [name, part] of Object.entries(ready?.dependencies ?? {})) {
    if (part.status === "ok") continue;
    const reason = [part.mode, part.reason].filter(Boolean).join(": ");
    add(part.status === "down" ? "bad" : "warn", "attention_dependency", { name, state: say(`state_${part.status}`), reason });
  }
  if (reading?.gauges.auditLost > 0) add("bad", "attention_lost", { count: number(reading.gauges.auditLost) });
  if (reading?.gauges.auditVerified === 0) add("bad", "attention_verify");
  if (latest?.errors > ERRORS_ALERT) add("bad", "attention_errors", { share: percent(latest.errors) });
  for (const [name, state] of Object.entries(reading?.breakers ?? {})) {
    if (state === 1) add("bad", "attention_breaker_open", { name });
    if (state === 2) add("warn", "attention_breaker_half", { name });
  }
  for (const [pair, { p95 }] of Object.entries(llms ?? {})) {
    if (p95 > P95_ALERT_S) add("warn", "attention_p95", { name: JSON.parse(pair)[0], time: duration(p95) });
  }
  return found.sort((a, b) => (a.tone === "bad" ? 0 : 1) - (b.tone === "bad" ? 0 : 1));
}

/** The list of them; `sure` says that everything was read, so that an empty list means calm. */
export function showConcerns(found, sure, language) {
  fill(byId("attention"), [language, found, sure], () => {
    if (found.length > 0) return [make("ul", {}, ...found.map(({ tone, text }) => make("li", { class: tone }, text)))];
    return sure ? [make("p", { class: "good" }, say("calm"))] : [];
  });
}

/** Readiness of each dependency; the gateway's own words are English. */
export function showDependencies(ready, language) {
  fill(byId("dependencies"), [language, ready], () => {
    const parts = Object.entries(ready?.dependencies ?? {});
    if (parts.length === 0) return [make("li", { class: "quiet" }, say("dependencies_none"))];
    return parts.map(([name, part]) => {
      const why = [part.mode, part.reason].filter(Boolean).join(": ");
      return make(
        "li",
        {},
        make("strong", {}, name),
        make("span", { class: `state ${TONES[part.status]}` }, make("span", { class: "dot", "aria-hidden": "true" }), say(`state_${part.status}`)),
        make("span", { class: "quiet small" }, say(part.required ? "required" : "optional")),
        why ? make("span", { class: "small why", lang: "en" }, why) : null,
      );
    });
  });
}

/** The audit log's figures. */
export function showAudit(reading, rate, language) {
  const gauges = reading?.gauges ?? {};
  const verified = gauges.auditVerified ?? null;
  const facts = [
    ["audit_records", number(reading?.totals.auditRecords), ""],
    ["audit_rate", number(rate), ""],
    ["audit_queue", number(gauges.auditQueue), ""],
    ["audit_lost", number(gauges.auditLost), gauges.auditLost > 0 ? "bad" : ""],
    ...(verified === null ? [] : [["audit_verified", say(verified === 1 ? "verified_yes" : "verified_no"), verified === 1 ? "good" : "bad"]]),
  ];
  fill(byId("audit"), [language, facts], () =>
    facts.map(([name, text, tone]) => make("div", { class: tone || null }, make("dt", {}, say(name)), make("dd", { "data-fact": name }, text))),
  );
}
