/** Tables that become cards on a narrow screen. */

import { make } from "./dom.js";

/**
 * `columns`: [{title, cell(row), n: numeric, head: names the row, wide: only where there is room,
 * bare: its title is for screen readers alone}].
 * `dense` rows are a line or two there, without the columns' titles.
 * `cell` gives text or elements; `open(row)`, if given, is the address that the row's name leads to.
 */
export function table(label, columns, rows, { open = null, dense = false } = {}) {
  const head = make("tr", {}, ...columns.map(({ title, n, wide, bare }) => make("th", { scope: "col", class: classes({ n, wide }) }, bare ? make("span", { class: "sr" }, title) : title)));
  return make(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    make("table", { class: dense ? "list dense" : "list" }, make("thead", {}, head), make("tbody", {}, ...rows.map((row) => line(columns, row, open)))),
  );
}

function line(columns, row, open) {
  return make("tr", {}, ...columns.map(({ title, cell, n, head, wide, bare }) => {
    const [name, ...rest] = [cell(row)].flat();
    const link = head && open ? open(row) : null;
    const inner = link ? [make("a", { href: link }, name), ...rest] : [name, ...rest];
    return make(head ? "th" : "td", { scope: head ? "row" : null, class: classes({ n, wide }), "data-title": bare ? "" : title }, inner);
  }));
}

/** Names and what they are, as a list of facts. */
export function facts(pairs) {
  const kept = pairs.filter((pair) => pair !== null);
  return make("dl", { class: "facts" }, ...kept.map(([name, value, id]) => make("div", {}, make("dt", {}, name), make("dd", { "data-fact": id ?? null }, value))));
}

/** The same in two columns, for long values. */
export function details(pairs) {
  const kept = pairs.filter((pair) => pair !== null && pair[1] !== null && pair[1] !== undefined && pair[1] !== "");
  return make("dl", { class: "details" }, ...kept.map(([name, value, id]) => make("div", {}, make("dt", {}, name), make("dd", { "data-fact": id ?? null }, value))));
}

const classes = (flags) => Object.keys(flags).filter((name) => flags[name]).join(" ") || null;
