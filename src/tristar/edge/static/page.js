/** What every page has: a heading, a time to be there, and boxes that say what they wait for or lack. */

import { make, put } from "./dom.js";
import { Gone, Refused } from "./gateway.js";
import { say } from "./words.js";

export class Page {
  /** `house` is the console around the page: `gateway`, `go(address)`, `askKey()`. */
  constructor(house) {
    this.house = house;
    this.gateway = house.gateway;
    this.leaving = new AbortController();
    this.root = make("div", { class: "page" });
  }

  /** Aborted when the page is left. */
  get signal() {
    return this.leaving.signal;
  }

  /** Build the page for this address into `root`, and begin to fill it. */
  enter() {}

  /** Stop whatever goes on. */
  leave() {
    this.leaving.abort();
  }

  /** A title, what the page tells, and what can be done on it. */
  heading(title, about, ...tools) {
    return make(
      "header", { class: "heading" },
      make("div", {}, make("h1", { tabindex: "-1" }, title), about ? make("p", { class: "quiet small" }, about) : null),
      tools.length > 0 ? make("div", { class: "row" }, ...tools) : null,
    );
  }

  /**
   * Show in `box` what `ask(signal)` brings, as `show` makes it; until then that it loads, and if it
   * fails, why and what to do. True once it is shown.
   */
  async fill(box, ask, show, { quiet = false } = {}) {
    box.setAttribute("aria-busy", "true");
    if (!quiet) put(box, loading());
    try {
      const got = await ask(this.signal);
      if (this.signal.aborted) return false;
      put(box, show(got));
      return true;
    } catch (error) {
      if (this.signal.aborted) return false;
      put(box, this.trouble(error, () => this.fill(box, ask, show)));
      return false;
    } finally {
      box.removeAttribute("aria-busy");
    }
  }

  /** Why something is not there, with the next step. Raises what is no refusal of the gateway. */
  trouble(error, retry = null) {
    const again = retry === null ? null : make("button", { type: "button", onclick: retry }, say("retry"));
    if (error instanceof Gone) return notice("bad", say("trouble_gone"), say("trouble_gone_next"), again);
    if (!(error instanceof Refused)) throw error;
    const { status, message } = error;
    const key = make("button", { type: "button", onclick: () => this.house.askKey() }, say("other_key"));
    if (status === 401) return notice("warn", say("trouble_401"), message, key);
    if (status === 403) return notice("warn", say("trouble_403"), message, key);
    if (status === 404) return notice("", say("trouble_404"), message, again);
    if (status === 429) return notice("warn", say("trouble_429"), message, again);
    if (status === 503) return notice("bad", say("trouble_503"), message, again);
    return notice("bad", say("trouble", { status }), message, again);
  }
}

/** A box that says one thing, with more below it; `tone` is "", good, warn or bad. */
export function notice(tone, title, text, ...actions) {
  const acts = actions.filter(Boolean);
  return make(
    "div", { class: `notice ${tone}`, role: tone === "bad" ? "alert" : "status" },
    make("p", { class: "strong" }, title),
    text ? make("p", { class: "quiet" }, text) : null,
    acts.length > 0 ? make("div", { class: "row" }, ...acts) : null,
  );
}

/** Where there is nothing yet: what would be here, and how it comes. */
export function empty(title, text, ...more) {
  return make("div", { class: "empty" }, make("p", { class: "strong" }, title), make("p", { class: "quiet" }, text), ...more);
}

/** What is on its way. */
export const loading = () => make("p", { class: "loading quiet", role: "status" }, say("loading"));
