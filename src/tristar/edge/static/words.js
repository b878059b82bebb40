/** What is said, in the language spoken, and how numbers and times are written in it. */

import { ENGLISH } from "./english.js";
import { GERMAN } from "./german.js";

export const LANGUAGES = { en: ENGLISH, de: GERMAN };

const NOTHING = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const AGES = [[60, "second", 1], [3_600, "minute", 60], [86_400, "hour", 3_600], [Infinity, "day", 86_400]];
let words = ENGLISH;
let language = "en";

/** Speak this language from now on: "en" or "de". */
export function speak(name) {
  language = name in LANGUAGES ? name : "en";
  words = LANGUAGES[language];
}

/** A phrase, its {slots} filled. */
export function say(name, slots = {}) {
  if (!(name in words)) throw new Error(`there is no word ${name}`);
  return words[name].replace(/\{(\w+)\}/g, (whole, slot) => slots[slot] ?? "");
}

/** Put the page's fixed words into the language spoken. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = words[element.dataset.t];
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", words[element.dataset.tLabel]);
}

/** A number with about three digits that matter; "–" for null. */
export function number(value) {
  if (value === null || value === undefined) return NOTHING;
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 || Number.isInteger(value * 10) ? 1 : 2;
  return format(value, { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** A share as a percentage. */
export function percent(value) {
  if (value === null || value === undefined) return NOTHING;
  const digits = value >= 0.1 || Number.isInteger(Math.round(value * 1e6) / 1e4) ? 0 : value >= 0.001 ? 1 : 2;
  return format(value, { style: "percent", maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** A length of time given in seconds. */
export function duration(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value < 1) return `${number(value < 0.01 ? Math.round(value * 10_000) / 10 : Math.round(value * 1000))} ms`;
  return value < 120 ? `${number(value)} s` : `${number(value / 60)} min`;
}

/** US dollars. */
export function money(value) {
  if (value === null || value === undefined) return NOTHING;
  const digits = value === 0 || value >= 0.1 ? 2 : value >= 0.001 ? 4 : 6;
  return format(value, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", minimumFractionDigits: 2, maximumFractionDigits: digits });
}

/** A size in bytes. */
export function bytes(value) {
  const power = value > 0 ? Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10)) : 0;
  return `${number(Math.round((value / 1024 ** power) * 10) / 10)} ${UNITS[power]}`;
}

/** A time of day, with seconds. */
export const clock = (at) => new Date(at).toLocaleTimeString(language, { hour12: false });

/** A date and a time of day, in English as 2026-11-24 23:27:07; "–" for null. */
export const dateTime = (at) => (at === null ? NOTHING : new Date(at).toLocaleString(language === "en" ? "sv-SE" : language, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }));

/** How long ago it was. */
export function ago(at) {
  const seconds = Math.max(0, (Date.now() - Date.parse(at)) / 1000);
  const [, unit, size] = AGES.find(([most]) => seconds < most);
  return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(-Math.floor(seconds / size), unit);
}

const format = (value, options) => new Intl.NumberFormat(language, options).format(value);
