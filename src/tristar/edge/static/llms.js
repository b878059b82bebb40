/** The llms: how each fares, what its breaker did, and keeping one out or letting it in again. */

import { link } from "./address.js";
import { stateMark, timeline, transitionsOf } from "./breaker.js";
import { ask } from "./dialog.js";
import { make, put } from "./dom.js";
import { bar } from "./meter.js";
import { Page, empty, notice } from "./page.js";
import { details, facts, table } from "./table.js";
import { dateTime, duration, money, number, percent, say } from "./words.js";

const EVERY_MS = 5_000; // each reading is a record of the audit log
const HOURS = 6;
const SPAN_MS = HOURS * 3_600_000;

export class Llms extends Page {
  enter({ id }) {
    this.id = id;
    this.told = make("div", { id: "llms-told", role: "status" });
    this.box = make("div", { class: "stack", id: "llms" });
    const back = id === null ? [] : [make("a", { class: "button", href: link("llms") }, say("back_to_llms"))];
    put(this.root, this.heading(id ?? say("llms"), id === null ? say("llms_about") : null, ...back), this.told, this.box);
    this.#follow();
  }

  /** Read now, and again as long as the page is there and seen. */
  async #follow() {
    await this.#read(false);
    while (!this.signal.aborted) {
      await this.house.wait(EVERY_MS, this.signal);
      if (!document.hidden && !this.signal.aborted && !this.#isUsed()) await this.#read(true);
    }
  }

  /** Whether what is shown must stay: its buttons have the focus, or a dialog is open. */
  #isUsed() {
    return document.querySelector("dialog[open]") !== null;
  }

  #read(quiet) {
    return this.fill(this.box, (signal) => this.#ask(signal), (found) => (this.id === null ? this.#all(found) : this.#one(found)), { quiet });
  }

  async #ask(signal) {
    const { data: llms } = await this.gateway.json("admin/llms", { signal });
    const breakers = this.id === null ? [] : (await this.gateway.json("admin/breakers", { signal })).data;
    const retry = Object.fromEntries(breakers.map(({ llm_id: name, retry_in_s: seconds }) => [name, seconds]));
    const states = llms.map(({ llm_id: name, state }) => `${name} ${state}`).join("\n");
    if (this.states !== states) this.history = await this.#transitions(signal); // asked again only when one changed
    this.states = states;
    return { llms, retry };
  }

  /** What the audit log tells of the breakers; null where the key may not read it. */
  async #transitions(signal) {
    const since = new Date(Date.now() - SPAN_MS).toISOString();
    const only = this.id === null ? "" : `&resource=${encodeURIComponent(`llm:${this.id}`)}`;
    try {
      return (await this.gateway.json(`admin/audit?action=breaker_transition&limit=1000&since=${since}${only}`, { signal, patience: 30_000 })).data;
    } catch (error) {
      if (error.status === 403 || error.status === 503) return null;
      throw error;
    }
  }

  #all({ llms }) {
    if (llms.length === 0) return empty(say("llms_empty"), say("llms_empty_next"));
    const columns = [
      { title: say("llm"), head: true, cell: (llm) => [llm.llm_id, make("span", { class: "quiet small under" }, `${llm.model} · ${llm.provider}`)] },
      { title: say("breaker"), cell: ({ state }) => stateMark(state) },
      { title: say("last_hours", { hours: HOURS }), cell: (llm) => this.#strip(llm), wide: true },
      { title: say("flying"), n: true, cell: ({ in_flight: count }) => number(count) },
      { title: say("calls"), n: true, cell: ({ vitals }) => number(vitals.calls) },
      { title: say("failed"), n: true, cell: ({ vitals }) => make("span", { class: vitals.errors > 0 ? "warn" : "" }, percent(vitals.calls > 0 ? vitals.errors / vitals.calls : null)) },
      { title: say("latency_p"), n: true, cell: ({ vitals }) => pair(vitals.latency) },
      { title: say("ttft_p"), n: true, cell: ({ vitals }) => pair(vitals.first_token) },
    ];
    const sorted = [...llms].sort((one, other) => rank(one.state) - rank(other.state) || one.llm_id.localeCompare(other.llm_id));
    return table(say("llms"), columns, sorted, { open: ({ llm_id: name }) => link("llms", name) });
  }

  #strip({ llm_id: name, state }) {
    if (this.history === null) return make("span", { class: "quiet" }, "–");
    return timeline(transitionsOf(this.history, name), state, Date.now() - SPAN_MS, Date.now());
  }

  #one({ llms, retry }) {
    const llm = llms.find(({ llm_id: name }) => name === this.id);
    if (llm === undefined) return notice("", say("llm_none"), say("llm_none_next"), make("a", { class: "button", href: link("llms") }, say("back_to_llms")));
    return [this.#condition(llm, retry[llm.llm_id] ?? null), this.#figures(llm), this.#past(llm), this.#errors(llm)];
  }

  #condition(llm, retryInS) {
    const wait = llm.state !== "open" ? "" : retryInS === null ? say("open_forced") : say("open_until", { time: duration(Math.ceil(retryInS)) });
    return make(
      "section", { class: "card stack" },
      make("div", { class: "row" }, stateMark(llm.state), wait ? make("span", { class: "quiet" }, wait) : null),
      make("p", { class: "quiet small" }, say(`state_${llm.state}_about`)),
      make("div", { class: "row" },
        make("button", { type: "button", id: "force-open", class: "danger", onclick: () => this.#order("open") }, say("force_open")),
        make("button", { type: "button", id: "reset", onclick: () => this.#order("reset") }, say("reset")),
        make("a", { class: "button", href: link("playground", null, { model: llm.llm_id }) }, say("try_it"))),
    );
  }

  #figures({ vitals, in_flight: flying, model, provider, dialect, configured, limits }) {
    return [
      facts([
        [say("calls"), number(vitals.calls), "calls"], [say("failed"), percent(vitals.calls > 0 ? vitals.errors / vitals.calls : null), "failed"], [say("flying"), number(flying), "in-flight"],
        [say("latency_p"), pair(vitals.latency)], [say("ttft_p"), pair(vitals.first_token)],
      ]),
      make("section", { class: "card stack" },
        details([[say("model_upstream"), model], [say("provider"), provider], [say("dialect"), dialect], [say("configured"), say(configured ? "yes" : "no")], [say("outcomes"), Object.entries(vitals.by_status).map(([name, count]) => `${name} ${number(count)}`).join(" · ")]]),
        ...limits.map(({ limit, of, used, share }) => bar(say(`limit_${limit}`), share, say("limit_used", { used: (limit.startsWith("budget") ? money : number)(used), of: (limit.startsWith("budget") ? money : number)(of), share: percent(share) })))),
    ];
  }

  #past(llm) {
    if (this.history === null) return notice("", say("history_locked"), say("history_locked_next"));
    const turns = transitionsOf(this.history, llm.llm_id);
    return make(
      "section", { class: "card stack" }, make("h2", {}, say("breaker_history", { hours: HOURS })),
      timeline(turns, llm.state, Date.now() - SPAN_MS, Date.now()),
      turns.length === 0 ? make("p", { class: "quiet small" }, say("breaker_calm", { hours: HOURS })) : make("ol", { class: "timeline small" }, ...turns.slice(-20).reverse().map(({ at, to, seq }) => make("li", {}, make("a", { href: link("audit", seq) }, dateTime(at)), " ", stateMark(to)))),
    );
  }

  #errors({ vitals }) {
    if (vitals.last_errors.length === 0) return empty(say("errors_none"), say("errors_none_next"));
    return make("section", { class: "stack" }, make("h2", {}, say("last_errors")), table(say("last_errors"), [
      { title: say("time"), head: true, cell: ({ at }) => dateTime(at) },
      { title: say("outcome"), cell: ({ status }) => make("span", { class: "tag bad" }, status) },
      { title: say("cause"), cell: ({ error_type: cause, http_status: status }) => [cause, status].filter((part) => part !== null).join(" · ") || "–" },
      { title: say("trace_id"), cell: ({ trace_id: trace }) => (trace ? make("a", { class: "mono", href: link("audit", null, { trace_id: trace }) }, trace.slice(0, 16), "…") : "–") },
    ], vitals.last_errors));
  }

  async #order(order) {
    const done = await ask({
      title: say(`${order}_title`, { name: this.id }), action: say(order === "open" ? "force_open" : "reset"), danger: order === "open",
      content: make("p", {}, say(`${order}_about`)),
      explain: (error) => (error.status === 403 ? say("order_forbidden", { message: error.message }) : error.message),
      act: () => this.gateway.json(`admin/breakers/${encodeURIComponent(this.id)}/${order}`, { method: "POST", signal: this.signal }),
    });
    if (!done) return;
    await this.#read(true);
    put(this.told, notice("good", say(`${order}_done`, { name: this.id }), say("order_audited")));
  }
}

const rank = (state) => ["open", "half_open", "closed"].indexOf(state);
const pair = ({ p50_s: p50, p95_s: p95 }) => (p50 === null ? "–" : `${duration(p50)} / ${duration(p95)}`);
