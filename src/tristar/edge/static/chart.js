/** One chart over time, drawn by uPlot; without it the page does with figures and the table. */

import { make } from "./dom.js";
import { say } from "./words.js";

const HEIGHT = 108;
const FONT = '11px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

/** The library, null where this installation has none. */
export async function library(there) {
  if (!there) return null;
  const sheet = new URL("uPlot.min.css", import.meta.url).href;
  if (document.querySelector(`link[href="${sheet}"]`) === null) document.head.append(make("link", { rel: "stylesheet", href: sheet }));
  return (await import("./uPlot.esm.js")).default;
}

export class Chart {
  /**
   * `lines`: [{name, style: "first" | "second"}], the names of columns; `write` turns a value into text; the
   * scale reaches `least` at least; `onPoint(index)` is told what the pointer is at, null for nothing.
   */
  constructor(UPlot, lines, write, least, onPoint) {
    this.UPlot = UPlot;
    this.lines = lines;
    this.write = write;
    this.least = least;
    this.onPoint = onPoint;
    this.element = make("div", { class: "chart", role: "img" });
    this.plot = null;
    this.resizing = new ResizeObserver(() => this.plot?.setSize({ width: this.element.clientWidth, height: HEIGHT }));
    this.resizing.observe(this.element);
  }

  /** Draw these columns over `spanS` seconds up to `end` (s since the epoch). */
  show(columns, end, spanS, title) {
    this.range = [end - spanS, end];
    const data = [columns.at, ...this.lines.map(({ name }) => columns[name])];
    this.element.setAttribute("aria-label", this.#summary(title, columns));
    if (this.UPlot === null || this.element.clientWidth === 0) return;
    if (this.plot === null) this.plot = new this.UPlot(this.#options(), data, this.element);
    else this.plot.setData(data);
  }

  /** Draw anew with the colours that hold now. */
  repaint() {
    this.plot?.destroy();
    this.plot = null;
  }

  /** Let go of the page. */
  end() {
    this.resizing.disconnect();
    this.repaint();
  }

  #summary(title, columns) {
    const values = this.lines.flatMap(({ name }) => columns[name]).filter((value) => value !== null);
    if (values.length === 0) return say("chart_empty", { title });
    const last = this.lines.map(({ name }) => this.write(columns[name].findLast((value) => value !== null) ?? null)).join(" / ");
    return say("chart", { title, highest: this.write(values.reduce((most, value) => Math.max(most, value))), last });
  }

  #options() {
    const [quiet, edge] = [colour("--quiet"), colour("--edge")];
    const axis = { stroke: quiet, font: FONT, ticks: { show: false }, grid: { stroke: edge, width: 1 } };
    return {
      width: this.element.clientWidth, height: HEIGHT, padding: [8, 18, 0, 0], legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "overview" }, points: { size: 6 } },
      scales: { x: { time: true, range: () => this.range }, y: { range: (_, low, high) => [0, Math.max(this.least, high ?? 0) * 1.1] } },
      axes: [
        { ...axis, size: 20, gap: 2, space: 64, grid: { show: false }, values: (_, splits) => splits.map((at) => this.#tick(at)) },
        { ...axis, size: 54, gap: 4, space: 34, values: (_, splits) => splits.map((value) => this.write(value)) },
      ],
      series: [{}, ...this.lines.map(({ style }) => this.#series(style))],
      hooks: { setCursor: [({ cursor }) => this.onPoint(cursor.idx ?? null)] },
    };
  }

  #series(style) {
    const stroke = colour(`--${style}`);
    return { stroke, width: 1.5, dash: style === "second" ? [5, 3] : [], fill: style === "first" ? `color-mix(in srgb, ${stroke} 14%, transparent)` : undefined, points: { show: isAlone, size: 4, fill: stroke } };
  }

  #tick(at) {
    const moment = new Date(at * 1000);
    const days = this.range[1] - this.range[0] > 86_400;
    const language = document.documentElement.lang;
    return days ? moment.toLocaleDateString(language, { weekday: "short", day: "numeric" }) : moment.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hour12: false });
  }
}

/** Points are drawn where a value has no neighbour that a line could lead to. */
function isAlone(plot, series) {
  const values = plot.data[series];
  const lonely = values.map((value, index) => (value !== null && values[index - 1] == null && values[index + 1] == null ? index : null)).filter((index) => index !== null);
  return lonely.length > 0 && lonely.length === values.filter((value) => value !== null).length;
}

/** What a custom property comes to under the theme in use. */
function colour(name) {
  const probe = make("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
