/** Labelled fields of forms. */

import { make } from "./dom.js";

let made = 0;

/** A label above a field; `hint` says more below it. */
export function field(label, input, hint = null, look = "") {
  made += 1;
  input.id ||= `field-${made}`;
  if (hint !== null) input.setAttribute("aria-describedby", `${input.id}-hint`);
  return make(
    "div", { class: `field ${look}` },
    make("label", { for: input.id }, label), input,
    hint === null ? null : make("p", { class: "quiet small", id: `${input.id}-hint` }, hint),
  );
}

/** A choice among [value, text] pairs. */
export function choice(name, pairs, value = "") {
  const select = make("select", { name }, ...pairs.map(([key, text]) => make("option", { value: key }, text)));
  select.value = value ?? "";
  return select;
}

/** A line of text; further attributes as given. */
export const line = (name, value = "", attributes = {}) =>
  make("input", { name, value: value ?? "", autocomplete: "off", spellcheck: "false", ...attributes });

/** A group of check boxes from [value, text] pairs. */
export function checks(legend, name, pairs, chosen = []) {
  return make(
    "fieldset", { class: "checks" }, make("legend", {}, legend),
    ...pairs.map(([value, text]) => make("label", {}, make("input", { type: "checkbox", name, value, checked: chosen.includes(value) }), make("span", {}, text))),
  );
}

/** What was written in the form: trimmed texts by name; check boxes as lists. */
export function written(form) {
  const data = new FormData(form);
  return (name) => String(data.get(name) ?? "").trim();
}

/** A list from text with commas; null where there is nothing. */
export function names(text) {
  const found = text.split(/[,\n]/).map((name) => name.trim()).filter(Boolean);
  return found.length > 0 ? found : null;
}

/** A number, or null where nothing was written. */
export const amount = (text) => (text === "" ? null : Number(text));
