/** The tiles with their figures and charts, and the same as a table. */

import { Chart } from "./chart.js";
import { byId, fill, make, setText } from "./dom.js";
import { clock, duration, number, percent, say } from "./words.js";

export const ERRORS_ALERT = 0.05; // as the alert HighErrorRate has it

const TILES = [
  { title: "requests", note: "requests_note", none: "waiting", write: number, least: 1, lines: [{ name: "requests", style: "first" }] },
  { title: "errors", note: "errors_note", none: "no_requests", write: percent, least: ERRORS_ALERT, lines: [{ name: "errors", style: "first" }], bad: (point) => point.errors > ERRORS_ALERT },
  { title: "latency", note: "latency_note", none: "no_llm_requests", write: duration, least: 0.005, lines: [{ name: "p50", style: "first", label: () => "P50" }, { name: "p95", style: "second", label: () => "P95" }] },
  { title: "tokens", note: "tokens_note", none: "waiting", write: number, least: 1, lines: [{ name: "tokensIn", style: "first", label: () => say("tokens_in") }, { name: "tokensOut", style: "second", label: () => say("tokens_out") }] },
  { title: "active", note: "active_note", none: "unknown", write: number, least: 1, lines: [{ name: "active", style: "first" }] },
  { title: "memory", note: "memory_note", none: "unknown", write: number, least: 1, lines: [{ name: "memory", style: "first" }] },
];

export class Overview {
  constructor() {
    this.tiles = TILES.map((plan) => new Tile(plan));
    byId("tiles").replaceChildren(...this.tiles.map((tile) => tile.element));
    this.history = byId("history");
  }

  /** Show these points up to now; `language` is what the words are in. */
  show(points, end, language) {
    for (const tile of this.tiles) tile.show(points, end);
    if (this.history.open) showHistory(points, language);
  }
}

class Tile {
  constructor(plan) {
    this.plan = plan;
    this.points = [];
    this.hovered = null;
    this.title = make("h3", { id: `tile-${plan.title}` });
    this.values = plan.lines.map(() => make("strong"));
    this.labels = plan.lines.map(({ label }) => (label ? make("span", { class: "label" }) : null));
    this.note = make("p", { class: "quiet small" });
    this.chart = new Chart(plan.lines, plan.write, plan.least, (point) => this.#hover(point));
    const figures = plan.lines.map(({ style }, index) => {
      const swatch = plan.lines.length > 1 ? make("span", { class: `swatch ${style}`, "aria-hidden": "true" }) : null;
      return make("span", { class: "figure", "data-figure": plan.lines[index].name }, swatch, this.labels[index], this.values[index]);
    });
    this.element = make("article", { class: "tile", "aria-labelledby": this.title.id }, this.title, make("p", { class: "figures" }, ...figures), this.note, this.chart.svg);
  }

  show(points, end) {
    const { plan } = this;
    const last = points.at(-1) ?? null;
    this.points = points;
    setText(this.title, say(plan.title));
    for (const [index, { name, label }] of plan.lines.entries()) {
      if (label) setText(this.labels[index], label());
      setText(this.values[index], plan.write(last?.[name] ?? null));
    }
    this.element.classList.toggle("bad", last !== null && (plan.bad?.(last) ?? false));
    this.chart.show(points, end, say(plan.title));
    this.#annotate();
  }

  #hover(point) {
    this.hovered = point;
    this.#annotate();
  }

  #annotate() {
    const { plan, hovered } = this;
    if (hovered !== null) {
      const values = plan.lines.map(({ name, label }) => `${label ? `${label()} ` : ""}${plan.write(hovered[name])}`);
      setText(this.note, `${clock(hovered.at)}: ${values.join(", ")}`);
      return;
    }
    const last = this.points.at(-1);
    const known = last !== undefined && plan.lines.some(({ name }) => last[name] !== null);
    setText(this.note, say(last === undefined ? "loading" : known ? plan.note : plan.none));
  }
}

/** One row per minute: the last point in it. */
function showHistory(points, language) {
  const minutes = [...Map.groupBy(points, (point) => Math.floor(point.at / 60_000)).values()].map((each) => each.at(-1)).reverse();
  fill(byId("history-table"), [language, minutes], () => [
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, say("time")), ...columns().map(([title]) => make("th", { scope: "col", class: "n" }, title)))),
    make("tbody", {}, ...minutes.map((point) => make("tr", {}, make("th", { scope: "row" }, clock(point.at)), ...columns().map(([, write, name]) => make("td", { class: "n" }, write(point[name])))))),
  ]);
}

const columns = () =>
  TILES.flatMap(({ title, lines, write }) => lines.map(({ name, label }) => [label && title !== "latency" ? `${say(title)} ${label()}` : (label?.() ?? say(title)), write, name]));
