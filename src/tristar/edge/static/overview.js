/** How the gateway does: figures now, their history from the host, and what needs attention. */

import { link } from "./address.js";
import { Chart, library } from "./chart.js";
import { ERRORS_ALERT, concerns, dependencies, showConcerns } from "./condition.js";
import { make, put, setText } from "./dom.js";
import { Gone, Refused } from "./gateway.js";
import { Page, notice } from "./page.js";
import { facts } from "./table.js";
import { clock, dateTime, duration, money, number, percent, say } from "./words.js";

const SPANS = ["15m", "4h", "7d"];
const AGAIN_MS = 2_000;

const TILES = [
  { title: "requests", note: "requests_note", write: number, least: 1, lines: [{ name: "requests", style: "first" }] },
  { title: "errors", note: "errors_note", write: percent, least: ERRORS_ALERT, lines: [{ name: "errors", style: "first" }], bad: ({ errors }) => errors > ERRORS_ALERT },
  { title: "latency", note: "latency_note", write: duration, least: 0.005, lines: [{ name: "p50", style: "first", label: () => "P50" }, { name: "p95", style: "second", label: () => "P95" }] },
  { title: "tokens", note: "tokens_note", write: number, least: 1, lines: [{ name: "tokens_in", style: "first", label: () => say("tokens_in") }, { name: "tokens_out", style: "second", label: () => say("tokens_out") }] },
  { title: "cost", note: "cost_note", write: money, least: 0.01, lines: [{ name: "cost", style: "first" }] },
  { title: "breakers", note: "breakers_note", write: number, least: 1, lines: [{ name: "open", style: "first", label: () => say("breakers_open") }, { name: "in_flight", style: "second", label: () => say("in_flight") }], bad: ({ open }) => open > 0 },
];

export class Overview extends Page {
  enter({ filters }) {
    this.span = SPANS.includes(filters.get("span")) ? filters.get("span") : SPANS[0];
    this.history = null;
    this.now = null;
    this.build();
    this.house.onTheme = () => this.#repaint();
    this.house.onReady = () => this.#showCondition();
    this.#begin();
  }

  leave() {
    super.leave();
    this.house.onTheme = this.house.onReady = null;
    for (const tile of this.tiles ?? []) tile.chart.end();
  }

  build() {
    this.read = make("p", { class: "quiet small", id: "reading" });
    this.attention = make("div", { id: "attention", role: "status" });
    this.broken = make("div", { id: "overview-trouble" });
    this.board = make("div", { class: "tiles", id: "tiles" });
    this.table = make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": say("history_table") });
    this.asTable = make("details", { id: "history", ontoggle: () => this.#showTable() }, make("summary", {}, say("history_table")), this.table);
    this.parts = make("ul", { class: "dependencies", id: "dependencies" });
    this.audit = make("div", { id: "audit" });
    const spans = make("fieldset", { class: "switch" }, make("legend", { class: "sr" }, say("span")), ...SPANS.map((span) => make("label", {}, make("input", { type: "radio", name: "span", value: span, checked: span === this.span, onchange: () => this.#choose(span) }), make("span", {}, say(`span_${span}`)))));
    put(
      this.root, this.heading(say("overview"), null, this.read, spans), this.broken, this.attention, this.board, this.asTable,
      make("section", { class: "stack" }, make("h2", {}, say("dependencies")), this.parts),
      make("section", { class: "stack" }, make("div", { class: "heading" }, make("h2", {}, say("audit")), make("a", { href: link("audit") }, say("open_audit"))), this.audit),
    );
  }

  async #begin() {
    this.state("loading");
    this.#showCondition();
    const first = this.#readColumns().catch((error) => error); // told of below; meanwhile the library comes
    const UPlot = await library(this.house.configuration.charts);
    if (this.signal.aborted) return;
    if (UPlot === null) this.board.before(notice("", say("charts_none"), say("charts_none_next")));
    this.tiles = TILES.map((plan) => new Tile(plan, UPlot));
    put(this.board, ...this.tiles.map((tile) => tile.element));
    await this.#follow(await first);
  }

  /** Read the history, then follow the stream; when it breaks, begin again. */
  async #follow(found) {
    while (!this.signal.aborted) {
      try {
        if (found instanceof Error) throw found;
        this.#take(found ?? (await this.#readColumns()));
        found = null;
        for await (const event of this.gateway.events(`admin/history/stream?after=${Math.floor((this.history.columns.at.at(-1) ?? 0) * 1000)}`, this.signal)) this.#hear(JSON.parse(event));
      } catch (error) {
        found = null;
        if (this.signal.aborted) return;
        if (!this.#broken(error)) return;
      }
      await this.house.wait(AGAIN_MS, this.signal);
    }
  }

  /** Say what is wrong; whether it is worth trying again. */
  #broken(error) {
    const shown = this.now === null ? null : clock(this.now.at * 1000);
    setText(this.read, ""); // nothing is live now
    if (error instanceof Gone) {
      this.state(shown === null ? "gone" : "stale");
      put(this.broken, notice("bad", say("gone"), shown === null ? say("gone_next") : say("gone_since", { time: shown })));
      return true;
    }
    const off = error instanceof Refused && error.status === 404;
    put(this.broken, off ? notice("", say("metrics_off"), say("metrics_off_next")) : this.trouble(error, () => this.house.again()));
    this.state(off ? "unmeasured" : "troubled");
    return error.status === 503 || error.status === 429;
  }

  #readColumns() {
    return this.gateway.json(`admin/history?span=${this.span}`, { signal: this.signal });
  }

  #take(history) {
    this.history = history;
    this.readAt = Date.now();
    this.now = history.now;
    this.#show();
  }

  #hear({ now, points }) {
    if (now === undefined) return; // the end: the stream is begun anew, or refused
    this.now = now;
    if (this.span === SPANS[0]) this.#append(points);
    else if (Date.now() - this.readAt >= this.history.step_s * 1000) this.#reread();
    this.#show();
  }

  #reread() {
    this.readAt = Date.now();
    this.#readColumns().then((found) => this.#take(found)).catch((error) => {
      if (!this.signal.aborted && !(error instanceof Gone || error instanceof Refused)) throw error;
    });
  }

  #append(points) {
    const { columns, length } = this.history;
    const last = columns.at.at(-1) ?? 0;
    for (const index of points.at.keys()) {
      if (points.at[index] <= last) continue;
      for (const name of Object.keys(columns)) columns[name].push(points[name][index]);
    }
    for (const name of Object.keys(columns)) columns[name].splice(0, Math.max(0, columns[name].length - length));
  }

  #choose(span) {
    this.span = span;
    history.replaceState(null, "", link("overview", null, { span: span === SPANS[0] ? "" : span }));
    this.#reread();
  }

  #show() {
    put(this.broken);
    this.state("live");
    setText(this.read, say("reading", { time: clock(this.now.at * 1000) }));
    for (const tile of this.tiles) tile.show(this.history, this.now);
    this.#showCondition();
    this.#showAudit();
    this.#showTable();
  }

  #showCondition() {
    const { ready } = this.house;
    showConcerns(this.attention, concerns(ready, this.now), ready !== null && this.now !== null);
    put(this.parts, ...dependencies(ready));
  }

  #showAudit() {
    const { audit } = this.now;
    const verified = audit.verified === null ? say("verified_never") : say(audit.verified ? "verified_yes" : "verified_no");
    put(this.audit, facts([
      [say("audit_rate"), number(audit.records_per_s), "audit_rate"], [say("audit_queue"), number(audit.queue), "audit_queue"],
      [say("audit_lost"), make("span", { class: audit.lost > 0 ? "bad" : "" }, number(audit.lost)), "audit_lost"], [say("audit_verified"), make("span", { class: audit.verified === false ? "bad" : "" }, verified), "audit_verified"],
      [say("memory_entries"), number(this.now.memory_entries), "memory_entries"],
    ]));
  }

  /** The charts in words, the newest first. */
  #showTable() {
    if (!this.asTable.open || this.history === null) return;
    const { columns } = this.history;
    const every = Math.max(1, Math.round(columns.at.length / 60));
    const rows = [...columns.at.keys()].filter((index) => (columns.at.length - 1 - index) % every === 0).reverse();
    const lines = TILES.flatMap(({ title, lines: each, write }) => each.map(({ name, label }) => ({ name, write, title: label ? `${say(title)} ${label()}` : say(title) })));
    put(this.table, make("table", {},
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, say("time")), ...lines.map(({ title }) => make("th", { scope: "col", class: "n" }, title)))),
      make("tbody", {}, ...rows.map((index) => make("tr", {}, make("th", { scope: "row" }, moment(columns.at[index], this.span)), ...lines.map(({ name, write }) => make("td", { class: "n" }, write(columns[name][index]))))))));
  }

  #repaint() {
    for (const tile of this.tiles ?? []) tile.chart.repaint();
    if (this.history !== null) this.#show();
  }
}

/** One figure, or two, with the chart of how it came about. */
class Tile {
  constructor(plan, UPlot) {
    this.plan = plan;
    this.hovered = null;
    this.values = plan.lines.map(() => make("strong"));
    this.note = make("p", { class: "quiet small" });
    this.chart = new Chart(UPlot, plan.lines, plan.write, plan.least, (index) => this.#hover(index));
    const figures = plan.lines.map(({ name, style, label }, index) => make(
      "span", { class: "figure", "data-figure": name },
      plan.lines.length > 1 ? make("span", { class: `swatch ${style}`, "aria-hidden": "true" }) : null,
      label ? make("span", { class: "label" }, label()) : null, this.values[index],
    ));
    this.element = make("article", { class: "tile", "aria-labelledby": `tile-${plan.title}` }, make("h2", { id: `tile-${plan.title}` }, say(plan.title)), make("p", { class: "figures" }, ...figures), this.note, this.chart.element);
  }

  show({ columns, step_s: step, length }, now) {
    const { plan } = this;
    this.columns = columns;
    for (const [index, { name }] of plan.lines.entries()) setText(this.values[index], plan.write(now[name]));
    this.element.classList.toggle("bad", plan.bad?.(now) ?? false);
    this.chart.show(columns, Math.max(now.at, columns.at.at(-1) ?? 0), step * length, say(plan.title));
    this.#annotate();
  }

  #hover(index) {
    this.hovered = index;
    this.#annotate();
  }

  #annotate() {
    const { plan, hovered, columns } = this;
    if (hovered === null || columns?.at[hovered] === undefined) {
      setText(this.note, say(plan.note));
      return;
    }
    const values = plan.lines.map(({ name, label }) => `${label ? `${label()} ` : ""}${plan.write(columns[name][hovered])}`);
    setText(this.note, `${moment(columns.at[hovered], "")}: ${values.join(", ")}`);
  }
}

const moment = (at, span) => (span === "15m" ? clock(at * 1000) : dateTime(at * 1000));
