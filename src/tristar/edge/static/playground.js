/** One chat, streamed, with its tokens, times and headers. */

import { byId, fill, make, setText } from "./dom.js";
import { Gone, complaint } from "./gateway.js";
import { duration, number, say } from "./words.js";

const OTHER = "\u0000other";
const SHOWN = /^(x-tristar-|x-request-id$|x-ratelimit-|retry-after$)/;

export class Playground {
  /** `onLocked(message)` is told when the gateway wants a key. */
  constructor(gateway, onLocked) {
    this.gateway = gateway;
    this.onLocked = onLocked;
    this.abort = null;
    this.status = null;
    this.result = null;
    this.chosen = null; // by the user; until then the first one is
    this.select = byId("model");
    this.other = byId("other");
    this.question = byId("question");
    this.question.value = say("question_first");
    this.select.addEventListener("change", () => {
      this.chosen = this.select.value;
      this.#chooseOther();
    });
    byId("stop").addEventListener("click", () => this.abort?.abort());
    byId("playground").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  /** Offer these llm_ids, and any other name. */
  offer(names, language) {
    fill(this.select, [language, names], () => [
      ...names.map((name) => make("option", { value: name }, name)),
      make("option", { value: OTHER }, say("other")),
    ]);
    const chosen = [...this.select.options].find((option) => option.value === this.chosen);
    this.select.value = (chosen ?? this.select.options[0]).value;
    this.#chooseOther();
  }

  /** Say again, in the language spoken now, what was said. */
  retell() {
    if (this.status) this.#tell(...this.status);
    if (this.result) this.#show(this.result);
  }

  #chooseOther() {
    const other = this.select.value === OTHER;
    this.other.hidden = !other;
    this.other.required = other;
  }

  async #send() {
    if (this.abort) return;
    const model = this.select.value === OTHER ? this.other.value.trim() : this.select.value;
    const body = { model, messages: [{ role: "user", content: this.question.value }], stream: true, stream_options: { include_usage: true } };
    this.abort = new AbortController();
    this.#busy(true);
    byId("answer").textContent = "";
    this.result = { began: performance.now(), headers: [], first: null, whole: null, usage: null, finish: null, model: null, done: false };
    this.#show(this.result);
    this.#tell("asking");
    try {
      await this.#converse(body);
    } catch (error) {
      if (error.name === "AbortError") this.#tell("stopped");
      else if (error instanceof Gone) this.#tell("unreachable");
      else this.#tell("failed_stream", { message: error.message });
    }
    this.result.whole = (performance.now() - this.result.began) / 1000;
    this.abort = null;
    this.#busy(false);
    this.#show(this.result);
  }

  async #converse(body) {
    const response = await this.gateway.post("v1/chat/completions", body, this.abort.signal);
    this.result.headers = [...response.headers].filter(([name]) => SHOWN.test(name));
    if (!response.ok) {
      const message = await complaint(response);
      if (response.status === 401) this.onLocked(message);
      this.#tell("failed_call", { status: response.status, message });
      return;
    }
    let failure = null;
    for await (const event of events(response.body)) failure = this.#take(event) ?? failure;
    if (failure) this.#tell("failed_stream", { message: failure });
    else this.#tell(this.result.done ? "done" : "cut");
  }

  /** Take in one event of the stream; the message, if it is an error. */
  #take(event) {
    const { result } = this;
    if (event === "[DONE]") {
      result.done = true;
      return null;
    }
    const chunk = JSON.parse(event);
    if (chunk.error) return String(chunk.error.message);
    result.model = chunk.model ?? result.model;
    result.usage = chunk.usage ?? result.usage;
    const choice = chunk.choices?.[0];
    result.finish = choice?.finish_reason ?? result.finish;
    if (choice?.delta?.content) {
      if (result.first === null) {
        result.first = (performance.now() - result.began) / 1000;
        this.#tell("answering");
        this.#show(result);
      }
      byId("answer").append(choice.delta.content);
    }
    return null;
  }

  #busy(busy) {
    byId("send").disabled = busy;
    byId("stop").hidden = !busy;
    byId("answer").setAttribute("aria-busy", String(busy));
  }

  #tell(name, slots = {}) {
    this.status = [name, slots];
    const status = byId("playground-status");
    status.className = /^(failed|cut|unreachable)/.test(name) ? "small bad" : "small";
    setText(status, say(name, slots));
  }

  #show({ headers, first, whole, usage, finish, model }) {
    byId("outcome").hidden = first === null && headers.length === 0;
    byId("answered").hidden = whole !== null && first === null && usage === null; // refused: there is no answer to show
    const tokens = (name) => (usage ? number(usage[name]) : whole === null ? "–" : say("not_reported"));
    const facts = [
      ["fact_tokens_in", tokens("prompt_tokens")],
      ["fact_tokens_out", tokens("completion_tokens")],
      ["fact_first", duration(first)],
      ["fact_whole", duration(whole)],
      ["fact_finish", finish ?? "–"],
      ["fact_model", model ?? "–"],
    ];
    byId("answer-facts").replaceChildren(
      ...facts.map(([name, text]) => make("div", {}, make("dt", {}, say(name)), make("dd", { "data-fact": name }, text))),
    );
    const shown = headers.length > 0 ? headers : [[say("no_headers"), ""]];
    byId("answer-headers").replaceChildren(...shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }
}

/** The data of each server-sent event of a body. */
export async function* events(body) {
  let rest = "";
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + piece).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      if (data.length > 0) yield data.join("\n");
    }
  }
}
