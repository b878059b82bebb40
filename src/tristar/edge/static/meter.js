/** A bar that tells how much of something is used. */

import { make } from "./dom.js";

const NEAR = 0.8;

/** `share` of 1 is all of it; the text says it in words. */
export function bar(label, share, text) {
  const tone = share >= 1 ? "bad" : share >= NEAR ? "warn" : "";
  return make("div", { class: `meter ${tone}` },
    make("span", { class: "small" }, label),
    make("meter", { min: "0", max: "1", value: String(Math.min(1, share)), "aria-label": `${label}: ${text}` }),
    make("span", { class: "quiet small n" }, text));
}
