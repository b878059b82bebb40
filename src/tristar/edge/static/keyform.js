/** The form of a key: what it may do, how much, how long. */

import { make } from "./dom.js";
import { amount, checks, choice, field, line, names, written } from "./form.js";
import { say } from "./words.js";

const SCOPES = ["chat", "memory:read", "memory:write", "metrics", "audit:read", "audit:admin", "admin"];
const POLICIES = ["none", "metadata", "redacted", "full"];
const AMOUNTS = ["requests_per_minute", "tokens_per_minute", "max_concurrent", "budget_usd_per_day", "budget_usd_per_month"];

/** The fields, filled with what the key is. */
export function keyFields(key) {
  const more = moreFields(key);
  more.addEventListener("invalid", () => { more.open = true; }, true); // a fault in what is folded away has to be seen
  return [
    field(say("name"), line("name", key.name, { required: true, maxlength: "128" }), say("key_name_hint")),
    checks(say("scopes"), "scopes", SCOPES.map((name) => [name, say(`scope_${name.replace(":", "_")}`)]), key.scopes ?? []),
    more,
  ];
}

const moreFields = (key) =>
  make("details", {}, make("summary", {}, say("key_more")),
    make("div", { class: "filters" },
      ...amounts("", key),
      field(say("expires"), line("expires_at", localTime(key.expires_at), { type: "datetime-local" })),
      field(say("llms"), line("llms", key.llms?.join(", ")), say("key_llms_hint")),
      field(say("projects"), line("projects", key.projects?.join(", ")), say("comma_hint")),
      field(say("prompt_policy"), choice("prompt_policy", [["", say("policy_default")], ...POLICIES.map((name) => [name, name])], key.prompt_policy ?? ""))),
    byLlm(key.llm_limits ?? {}));

/** One number for each limit there is; `prefix` tells those of an llm from the key's own. */
const amounts = (prefix, of) =>
  AMOUNTS.map((name) => field(say(name), line(prefix + name, of[name], { type: "number", min: name.startsWith("budget") ? "0.000001" : "1", step: name.startsWith("budget") ? "any" : "1" })));

/** The limits on single llms: a group for each, and a button for one more. */
function byLlm(limits) {
  const groups = make("div", { class: "stack" }, ...Object.entries(limits).map(([name, of]) => oneLlm(name, of)));
  const add = make("button", { type: "button" }, say("llm_limit_add"));
  add.addEventListener("click", () => {
    groups.append(oneLlm("", {}));
    groups.lastElementChild.querySelector("input").focus();
  });
  groups.addEventListener("input", () => refuseTwice(groups));
  const remove = (button) => {
    button.closest("fieldset").remove();
    refuseTwice(groups);
    add.focus();
  };
  groups.addEventListener("click", ({ target }) => { if (target.matches("button")) remove(target); });
  return make("section", { class: "stack" }, make("h3", {}, say("llm_limits")), make("p", { class: "quiet small" }, say("llm_limits_hint")), groups, make("div", { class: "row" }, add));
}

const oneLlm = (name, of) =>
  make("fieldset", { class: "stack one-llm" }, make("legend", { class: "quiet small" }, name || say("llm_limit_new")),
    make("div", { class: "filters" },
      field(say("llm"), line("llm_limit", name, { required: true, maxlength: "128" })),
      ...amounts("llm_", of)),
    make("div", { class: "row" }, make("button", { type: "button" }, say("llm_limit_remove"))));

/** An llm that is named twice: which of its limits would hold? */
function refuseTwice(groups) {
  const seen = new Set();
  for (const input of groups.querySelectorAll("[name=llm_limit]")) {
    const name = input.value.trim();
    input.setCustomValidity(name !== "" && seen.has(name) ? say("llm_limit_twice") : "");
    seen.add(name);
  }
}

/** What stands in the groups, by llm; null where there are none. */
function limitsByLlm(form) {
  const of = (group, name) => group.querySelector(`[name="${name}"]`).value.trim();
  const told = [...form.querySelectorAll(".one-llm")].map((group) => [
    of(group, "llm_limit"),
    Object.fromEntries(AMOUNTS.map((name) => [name, amount(of(group, `llm_${name}`))]).filter(([, value]) => value !== null)),
  ]);
  return told.length > 0 ? Object.fromEntries(told) : null;
}

/** What the form asks for, for a new key: what was left out is not limited. */
export const keyBody = (form) => Object.fromEntries(Object.entries(keyChanges(form)).filter(([, value]) => value !== null));

/** The same for a key that is there: null takes a limit away. */
export function keyChanges(form) {
  const of = written(form);
  const expires = of("expires_at");
  return {
    name: of("name"),
    scopes: new FormData(form).getAll("scopes"),
    ...Object.fromEntries(AMOUNTS.map((name) => [name, amount(of(name))])),
    llm_limits: limitsByLlm(form),
    llms: names(of("llms")),
    projects: names(of("projects")),
    expires_at: expires === "" ? null : new Date(expires).toISOString(),
    prompt_policy: of("prompt_policy") || null,
  };
}

/** A secret with a button that copies it. */
export function copyable(text) {
  const shown = make("code", { class: "secret", id: "secret", tabindex: "0" }, text);
  const button = make("button", { type: "button", id: "copy" }, say("copy"));
  const told = make("span", { class: "small quiet", role: "status" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      told.textContent = say("copied");
    } catch {
      getSelection().selectAllChildren(shown); // no clipboard here: the text is marked instead
      told.textContent = say("copy_by_hand");
    }
  });
  return make("div", { class: "stack" }, shown, make("div", { class: "row" }, button, told));
}

function localTime(at) {
  if (!at) return "";
  const moment = new Date(at);
  return new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
