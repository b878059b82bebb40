/** One small chart over the last 15 minutes: lines with gaps where nothing was measured. */

import { draw } from "./dom.js";
import { KEPT_MS } from "./history.js";
import { say } from "./words.js";

const [WIDTH, HEIGHT] = [340, 104];
const [LEFT, RIGHT, TOP, BOTTOM] = [4, 336, 16, 84];
const GAP_MS = 15_000;
const STEPS = [1, 2, 5, 10];

export class Chart {
  /** `lines`: [{name, style}], the names of the points' fields; `write` turns a value into text; the scale reaches `least` at least. */
  constructor(lines, write, least, onPoint) {
    this.lines = lines;
    this.write = write;
    this.least = least;
    this.points = [];
    this.end = 0;
    this.marker = draw("line", { class: "marker", y1: TOP, y2: BOTTOM, visibility: "hidden" });
    this.scene = draw("g");
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart" }, this.scene, this.marker);
    this.svg.addEventListener("pointermove", (event) => onPoint(this.#mark(event)));
    this.svg.addEventListener("pointerleave", () => onPoint(this.#unmark()));
  }

  /** Draw these points up to `end` (ms since the epoch). */
  show(points, end, title) {
    this.points = points;
    this.end = end;
    const values = points.flatMap((point) => this.lines.map(({ name }) => point[name])).filter((value) => value !== null);
    const top = ceiling(Math.max(...values, this.least));
    this.scene.replaceChildren(...this.#frame(top, values.length > 0), ...this.lines.flatMap((line) => this.#line(line, top)));
    this.svg.setAttribute("aria-label", this.#summary(title, values));
  }

  #summary(title, values) {
    if (values.length === 0) return say("chart_empty", { title });
    const last = this.lines.map(({ name }) => this.write(this.points.at(-1)[name])).join(" / ");
    const [highest, lowest] = [Math.max(...values), Math.min(...values)].map(this.write);
    return say("chart", { title, highest, lowest, now: last });
  }

  #frame(top, measured) {
    const grid = [TOP, (TOP + BOTTOM) / 2, BOTTOM].map((y) => draw("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: y, y2: y }));
    const ticks = [15, 10, 5].map((count) => {
      const x = this.#x(this.end - count * 60_000);
      return draw("text", { x, y: HEIGHT - 5, "text-anchor": count === 15 ? "start" : "middle" }, say("minutes_ago", { count }));
    });
    const now = draw("text", { x: RIGHT, y: HEIGHT - 5, "text-anchor": "end" }, say("now"));
    const scale = measured ? draw("text", { x: LEFT, y: TOP - 4 }, this.write(top)) : "";
    return [...grid, ...ticks, now, scale];
  }

  #line({ name, style }, top) {
    const runs = [];
    let before = null;
    for (const point of this.points) {
      if (point[name] !== null) {
        if (before === null || point.at - before > GAP_MS) runs.push([]);
        runs.at(-1).push([this.#x(point.at), BOTTOM - ((BOTTOM - TOP) * point[name]) / top]);
      }
      before = point[name] === null ? null : point.at;
    }
    return runs.filter((run) => run.length > 0).flatMap((run) => stroke(run, style));
  }

  #x(at) {
    return RIGHT - ((RIGHT - LEFT) * (this.end - at)) / KEPT_MS;
  }

  #mark(event) {
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const distance = (point) => Math.abs(this.#x(point.at) - x);
    const nearest = this.points.reduce((best, point) => (best === null || distance(point) < distance(best) ? point : best), null);
    if (nearest === null) return this.#unmark();
    this.marker.setAttribute("x1", this.#x(nearest.at));
    this.marker.setAttribute("x2", this.#x(nearest.at));
    this.marker.setAttribute("visibility", "visible");
    return nearest;
  }

  #unmark() {
    this.marker.setAttribute("visibility", "hidden");
    return null;
  }
}

/** A round number at or above `value`, which is more than 0. */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * STEPS.find((step) => step * power >= value * 0.999999);
}

function stroke(run, style) {
  const path = run.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  if (run.length === 1) return [draw("circle", { class: `dot ${style}`, cx: run[0][0], cy: run[0][1], r: 1.6 })];
  const line = draw("polyline", { class: `line ${style}`, points: path });
  if (style !== "first") return [line];
  const area = `${run[0][0].toFixed(1)},${BOTTOM} ${path} ${run.at(-1)[0].toFixed(1)},${BOTTOM}`;
  return [draw("polygon", { class: "area", points: area }), line];
}
