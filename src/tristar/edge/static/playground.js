/** A conversation with any llm, streamed, with what each answer took and who gave it. */

import { link } from "./address.js";
import { make, put } from "./dom.js";
import { events } from "./events.js";
import { field, line } from "./form.js";
import { Gone, complaint } from "./gateway.js";
import { Page } from "./page.js";
import { facts } from "./table.js";
import { duration, money, number, say } from "./words.js";

const OTHER = "\u0000other";

export class Playground extends Page {
  enter({ filters }) {
    this.messages = [];
    this.abort = null;
    this.build(filters.get("model"));
    this.#offer(filters.get("model"));
  }

  leave() {
    super.leave();
    this.abort?.abort();
  }

  build() {
    this.select = make("select", { id: "model" });
    this.other = line("other", "", { id: "other", maxlength: "200", placeholder: "provider/model", "aria-label": say("other_model"), hidden: true });
    this.system = make("textarea", { id: "system", rows: "2", maxlength: "20000" });
    this.question = make("textarea", { id: "question", rows: "3", maxlength: "100000", required: true });
    this.question.value = say("question_first");
    this.send = make("button", { type: "submit", class: "chief", id: "send" }, say("send"));
    this.stop = make("button", { type: "button", id: "stop", hidden: true, onclick: () => this.abort?.abort() }, say("stop"));
    this.status = make("p", { id: "playground-status", class: "small", role: "status" });
    this.talk = make("div", { class: "talk", id: "talk" });
    this.select.addEventListener("change", () => this.#chooseOther());
    this.form = make(
      "form", { id: "playground", class: "card stack" },
      make("div", { class: "row" }, make("label", { for: "model", class: "quiet small strong" }, say("model")), this.select, this.other),
      make("details", {}, make("summary", {}, say("system")), field(say("system"), this.system)),
      field(say("question"), this.question, say("send_hint")),
      make("div", { class: "row" }, this.send, this.stop, make("span", { class: "quiet small" }, say("playground_note"))),
      this.status,
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.question.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    const anew = make("button", { type: "button", id: "anew", onclick: () => this.#anew() }, say("talk_anew"));
    put(this.root, this.heading(say("playground"), say("playground_about"), anew), this.talk, this.form);
  }

  async #offer(wanted) {
    let names = [];
    try {
      names = (await this.gateway.json("v1/models", { signal: this.signal })).data.map(({ id }) => id);
    } catch (error) {
      if (this.signal.aborted) return;
      put(this.talk, this.trouble(error));
    }
    put(this.select, ...names.map((name) => make("option", { value: name }, name)), make("option", { value: OTHER }, say("other")));
    this.select.value = names.includes(wanted) || wanted === null ? (wanted ?? names[0] ?? OTHER) : OTHER;
    if (this.select.value === OTHER) this.other.value = wanted ?? "";
    this.#chooseOther();
  }

  #chooseOther() {
    const other = this.select.value === OTHER;
    this.other.hidden = !other;
    this.other.required = other;
  }

  #anew() {
    this.abort?.abort();
    this.messages = [];
    put(this.talk);
    this.#tell("");
    this.question.focus();
  }

  async #send() {
    if (this.abort) return;
    const model = this.select.value === OTHER ? this.other.value.trim() : this.select.value;
    const asked = { role: "user", content: this.question.value };
    const system = this.system.value.trim() ? [{ role: "system", content: this.system.value }] : [];
    const body = { model, messages: [...system, ...this.messages, asked], stream: true, stream_options: { include_usage: true } };
    const turn = new Turn(asked.content);
    this.talk.append(turn.element);
    this.abort = new AbortController();
    this.#busy(true);
    this.#tell("asking");
    try {
      await this.#converse(body, turn);
    } catch (error) {
      if (this.abort.signal.aborted) this.#tell("stopped");
      else if (error instanceof Gone) this.#tell("unreachable");
      else this.#tell("failed_stream", { message: error.message });
    }
    turn.end();
    if (turn.done) this.messages.push(asked, { role: "assistant", content: turn.text });
    if (turn.done) this.question.value = "";
    this.abort = null;
    this.#busy(false);
    await this.#priced(turn);
  }

  async #converse(body, turn) {
    const response = await this.gateway.open("v1/chat/completions", { method: "POST", body, signal: this.abort.signal });
    turn.headers = response.headers;
    if (!response.ok) {
      const { message } = await complaint(response);
      if (response.status === 401) this.gateway.onLocked(this.gateway.key ? message : "");
      turn.failed = say("failed_call", { status: response.status, message });
      this.#tell("failed_call", { status: response.status, message });
      return;
    }
    for await (const event of events(response.body)) {
      turn.take(event);
      if (turn.first !== null && this.status.dataset.name === "asking") this.#tell("answering");
    }
    if (turn.failed) this.#tell("failed_stream", { message: turn.failed });
    else this.#tell(turn.done ? "done" : "cut");
  }

  /** What it cost and how often it was tried, as its audit record has it; a key may lack the right to read it. */
  async #priced(turn) {
    const trace = turn.headers?.get("x-tristar-trace-id");
    if (!trace || turn.first === null) return;
    try {
      const { data } = await this.gateway.json(`admin/audit?trace_id=${trace}&action=llm_call&limit=1`, { signal: this.signal, patience: 30_000 });
      if (data.length > 0) turn.tell(data[0]);
    } catch (error) {
      if (!this.signal.aborted && error.status === undefined && !(error instanceof Gone)) throw error;
    }
  }

  #busy(busy) {
    this.send.disabled = busy;
    this.stop.hidden = !busy;
    this.talk.setAttribute("aria-busy", String(busy));
  }

  #tell(name, slots = {}) {
    this.status.dataset.name = name;
    this.status.className = /^(failed|cut|unreachable)/.test(name) ? "small bad" : "small";
    this.status.textContent = name ? say(name, slots) : "";
  }
}

/** One question and its answer. */
class Turn {
  constructor(question) {
    this.began = performance.now();
    this.headers = null;
    this.first = null;
    this.whole = null;
    this.usage = null;
    this.finish = null;
    this.model = null;
    this.text = "";
    this.done = false;
    this.failed = null;
    this.answer = make("div", { class: "answer", tabindex: "0", role: "region", "aria-label": say("answer_text") });
    this.facts = make("div");
    this.element = make("article", { class: "turn" }, make("p", { class: "asked" }, question), this.answer, this.facts);
  }

  /** Take in one event of the stream. */
  take(event) {
    if (event === "[DONE]") {
      this.done = this.failed === null;
      return;
    }
    const chunk = JSON.parse(event);
    if (chunk.error) this.failed = String(chunk.error.message);
    this.model = chunk.model ?? this.model;
    this.usage = chunk.usage ?? this.usage;
    const choice = chunk.choices?.[0];
    this.finish = choice?.finish_reason ?? this.finish;
    if (!choice?.delta?.content) return;
    this.first ??= (performance.now() - this.began) / 1000;
    this.text += choice.delta.content;
    this.answer.append(choice.delta.content);
  }

  /** The stream has ended, well or not. */
  end() {
    this.whole = (performance.now() - this.began) / 1000;
    if (this.text === "") put(this.answer, make("span", { class: "quiet" }, this.failed ?? say("answer_none")));
    this.show(null);
  }

  /** What its audit record says besides. */
  tell(record) {
    this.show(record);
  }

  show(record) {
    const header = (name) => this.headers?.get(name) ?? "–";
    const tokens = (name) => (this.usage ? number(this.usage[name]) : say("not_reported"));
    const trace = this.headers?.get("x-tristar-trace-id");
    put(this.facts, facts([
      [say("fact_first"), duration(this.first), "fact_first"], [say("fact_whole"), duration(this.whole), "fact_whole"],
      [say("fact_tokens_in"), tokens("prompt_tokens"), "fact_tokens_in"], [say("fact_tokens_out"), tokens("completion_tokens"), "fact_tokens_out"],
      [say("fact_cost"), cost(record), "fact_cost"], [say("fact_attempts"), header("x-tristar-attempts"), "fact_attempts"],
      [say("fact_llm"), header("x-tristar-llm"), "fact_llm"], [say("fact_finish"), this.finish ?? "–", "fact_finish"],
      trace ? [say("trace_id"), make("a", { class: "mono break", href: link("audit", null, { trace_id: trace }) }, trace), "fact_trace"] : null,
    ]));
  }
}

const cost = (record) => (record === null ? "–" : record.details?.cost_usd === null || record.details?.cost_usd === undefined ? say("unpriced") : money(record.details.cost_usd));
