/** Calls as they end: a list that streams, with the attempts of each, filtered and held still at will. */

import { link } from "./address.js";
import { make, put } from "./dom.js";
import { choice, field, line } from "./form.js";
import { Gone, Refused } from "./gateway.js";
import { Page, empty, notice } from "./page.js";
import { clock, duration, money, number, say } from "./words.js";

const KEPT = 200;
const AGAIN_MS = 2_000;

export class Calls extends Page {
  enter({ filters }) {
    this.calls = [];
    this.held = [];
    this.flying = 0;
    this.missed = 0;
    this.paused = false;
    this.after = 0;
    this.list = make("ol", { class: "calls", id: "calls" });
    this.none = make("div");
    this.told = make("p", { class: "quiet small", id: "calls-told", role: "status" });
    this.broken = make("div");
    this.pause = make("button", { type: "button", id: "hold", "aria-pressed": "false", onclick: () => this.#hold() }, say("pause"));
    put(this.root, this.heading(say("calls_title"), say("calls_about"), this.pause), this.#form(filters), this.broken, this.told, this.none, this.list);
    put(this.none, make("p", { class: "loading quiet" }, say("loading")));
    this.#follow();
  }

  #form(filters) {
    this.words = line("text", filters.get("text") ?? "", { type: "search" });
    this.only = choice("only", [["", say("calls_all")], ["failed", say("calls_failed")], ["retried", say("calls_retried")], ["slow", say("calls_slow")]], filters.get("only") ?? "");
    for (const input of [this.words, this.only]) input.addEventListener("input", () => this.#show());
    return make("div", { class: "filters card", role: "search" }, field(say("filter"), this.words, say("calls_filter_hint"), "broad"), field(say("show"), this.only));
  }

  #hold() {
    this.paused = !this.paused;
    this.pause.textContent = say(this.paused ? "resume" : "pause");
    this.pause.setAttribute("aria-pressed", String(this.paused));
    if (!this.paused) this.#take(this.held.splice(0));
    this.#tell();
  }

  /** Follow the stream; when it ends or breaks, begin again behind the last call that came. */
  async #follow() {
    while (!this.signal.aborted) {
      try {
        for await (const event of this.gateway.events(`admin/calls/stream?after=${this.after}`, this.signal)) this.#hear(JSON.parse(event));
      } catch (error) {
        if (this.signal.aborted) return;
        const lasting = error instanceof Refused && [401, 403, 404].includes(error.status);
        put(this.broken, error instanceof Gone ? notice("bad", say("stream_gone"), say("stream_gone_next")) : this.trouble(error));
        if (lasting) put(this.none);
        if (lasting) return;
      }
      await this.house.wait(AGAIN_MS, this.signal);
    }
  }

  #hear({ data, in_progress_count: flying, next_after: after, missed }) {
    if (after === undefined) return; // the end: the stream is begun anew, or refused
    put(this.broken);
    if (after < this.after) this.calls = []; // the gateway began anew
    this.after = after;
    this.flying = flying;
    this.missed += this.begun ? missed : 0;
    this.begun = true;
    if (this.paused) this.held = [...data, ...this.held].slice(0, KEPT);
    else this.#take(data);
    this.#tell();
  }

  /** Newest first, as they come. */
  #take(calls) {
    if (calls.length === 0 && this.shown) return;
    this.calls = [...calls, ...this.calls].slice(0, KEPT);
    this.#show();
  }

  #show() {
    const kept = this.calls.filter((call) => this.#wanted(call));
    const drawn = new Map([...this.list.children].map((item) => [item.dataset.n, item]));
    this.list.replaceChildren(...kept.map((call) => drawn.get(String(call.n)) ?? row(call)));
    put(this.none, kept.length > 0 ? null : this.calls.length > 0 ? empty(say("calls_nothing"), say("calls_nothing_next")) : empty(say("calls_empty"), say("calls_empty_next"), make("a", { class: "button", href: link("playground") }, say("playground"))));
    this.shown = true;
  }

  #wanted(call) {
    const only = this.only.value;
    if (only === "failed" && call.status < 400) return false;
    if (only === "retried" && call.attempts.length < 2) return false;
    if (only === "slow" && call.duration_ms < 5_000) return false;
    const text = this.words.value.trim().toLowerCase();
    return text === "" || JSON.stringify(call).toLowerCase().includes(text);
  }

  #tell() {
    const parts = [say("calls_flying", { count: number(this.flying) })];
    if (this.paused) parts.push(say("calls_held", { count: number(this.held.length) }));
    if (this.missed > 0) parts.push(say("calls_missed", { count: number(this.missed) }));
    this.told.textContent = parts.join(" · ");
  }
}

function row(call) {
  const tone = call.status >= 500 ? "bad" : call.status >= 400 ? "warn" : "good";
  const answered = call.llm_id !== null && call.llm_id !== call.asked ? `${call.asked ?? "–"} → ${call.llm_id}` : (call.asked ?? call.llm_id ?? "–");
  const tries = call.attempts.length;
  return make(
    "li", { "data-n": String(call.n) },
    make("details", {},
      make("summary", {},
        make("span", { class: "mono" }, clock(call.started_at)),
        make("span", { class: `tag ${tone}` }, String(call.status)),
        make("span", { class: "strong grow" }, answered),
        tries > 1 ? make("span", { class: "tag warn" }, say("attempts_count", { count: number(tries) })) : null,
        make("span", { class: "quiet n wide" }, `${number(call.tokens_input)} → ${number(call.tokens_output)}`),
        make("span", { class: "n" }, duration(call.duration_ms / 1000))),
      make("div", { class: "stack inner" },
        tries > 0 ? make("ol", { class: "attempts" }, ...call.attempts.map((attempt) => tried(attempt, Math.max(call.duration_ms, 1)))) : make("p", { class: "quiet small" }, say(call.rejected_by ? "call_rejected" : "call_untried", { who: call.rejected_by ?? "" })),
        make("p", { class: "row small" },
          make("span", { class: "quiet" }, [call.endpoint, call.stream ? say("streamed") : say("whole"), call.key_id, call.cost_usd === null ? null : money(call.cost_usd)].filter(Boolean).join(" · ")),
          call.trace_id ? make("a", { href: link("audit", null, { trace_id: call.trace_id }) }, say("audit_record_of")) : null,
          call.trace_id ? make("span", { class: "mono quiet break" }, call.trace_id) : null))),
  );
}

/** One attempt: when in the call it began and ended, as a bar, and what came of it. */
function tried(attempt, wholeMs) {
  const tone = attempt.status === "success" ? "good" : attempt.status === "cancelled" ? "quiet" : "bad";
  const why = [attempt.error_type, attempt.http_status, attempt.reason ? say("because", { reason: attempt.reason }) : null].filter((part) => part !== null).join(" · ");
  return make("li", {},
    make("span", { class: "strong" }, attempt.llm_id), make("span", { class: `tag ${tone}` }, attempt.status),
    make("meter", { class: "span", min: "0", max: String(wholeMs), value: String(Math.min(wholeMs, attempt.duration_ms)), "aria-label": say("attempt_share") }),
    make("span", { class: "n" }, duration(attempt.duration_ms / 1000)),
    make("span", { class: "quiet small" }, [attempt.first_token_ms === null ? null : `TTFT ${duration(attempt.first_token_ms / 1000)}`, `${number(attempt.tokens_input)} → ${number(attempt.tokens_output)}`, attempt.finish_reason, why].filter(Boolean).join(" · ")));
}
