/** One entry of the memory: what it says, what it was, and changing it without overwriting others. */

import { link } from "./address.js";
import { ask } from "./dialog.js";
import { make, put } from "./dom.js";
import { field, line } from "./form.js";
import { Refused } from "./gateway.js";
import { entryBody, entryFields } from "./memory.js";
import { Page, notice } from "./page.js";
import { details } from "./table.js";
import { dateTime, number, percent, say } from "./words.js";

export class MemoryEntry extends Page {
  enter({ id }) {
    this.path = `v1/memory/${encodeURIComponent(id)}`;
    this.told = make("div", { role: "status", id: "entry-told" });
    this.box = make("div", { class: "stack", id: "entry" });
    put(this.root, this.heading(say("entry_title"), id, make("a", { class: "button", href: link("memory") }, say("back_to_memory"))), this.told, this.box);
    this.#read();
  }

  #read() {
    return this.fill(
      this.box,
      async (signal) => ({
        entry: await this.gateway.json(this.path, { signal }),
        history: (await this.gateway.json(`${this.path}/history`, { signal })).data,
      }),
      ({ entry, history }) => [this.#shown(entry), past(history)],
    );
  }

  #shown(entry) {
    this.entry = entry;
    const act = (name, run, look = "") => make("button", { type: "button", id: name, class: look, onclick: run }, say(name));
    return make(
      "section", { class: "card stack" },
      make("div", { class: "content", id: "content" }, entry.content),
      make("div", { class: "row" }, act("edit", () => this.#edit(entry), "chief"), act("validate", () => this.#vote("validate")), act("contradict", () => this.#vote("contradict")), act("delete", () => this.#remove(entry), "danger")),
      details([
        [say("type"), entry.type], [say("project"), entry.project], [say("tags"), entry.tags.join(", ")],
        [say("confidence"), percent(entry.confidence), "confidence"], [say("importance"), percent(entry.importance)],
        [say("version"), number(entry.version), "version"], [say("llm"), entry.llm_id],
        [say("created"), `${dateTime(entry.created_at)} · ${entry.created_by}`], [say("updated"), dateTime(entry.updated_at)],
        [say("expires"), entry.expires_at === null ? say("never") : dateTime(entry.expires_at)],
        [say("trace_id"), make("a", { class: "mono break", href: link("audit", null, { trace_id: entry.trace_id }) }, entry.trace_id)],
        [say("content_hash"), make("span", { class: "mono break" }, entry.content_hash)],
      ]),
    );
  }

  async #edit(entry) {
    const conflict = make("div", { class: "stack" });
    const done = await ask({
      title: say("entry_edit"), action: say("save"), content: [conflict, ...entryFields(entry)],
      explain: (error) => (isConflict(error) ? say("conflict") : error.message),
      act: async (form) => {
        try {
          await this.gateway.json(this.path, { method: "PATCH", body: entryBody(form), headers: { "if-match": `"${entry.version}"` }, signal: this.signal });
        } catch (error) {
          if (isConflict(error)) entry = await this.#meanwhile(conflict, entry);
          throw error;
        }
      },
    });
    if (done) await this.#done(say("entry_saved"));
  }

  /** Show what somebody else made of it; the next attempt is made against that. */
  async #meanwhile(box, entry) {
    const now = await this.gateway.json(this.path, { signal: this.signal });
    put(box, notice("warn", say("conflict_title", { yours: number(entry.version), theirs: number(now.version) }), say("conflict_next")), make("pre", { tabindex: "0", id: "theirs" }, now.content));
    return now;
  }

  async #vote(vote) {
    const voter = line("llm_id", "", { required: true, maxlength: "128" });
    const done = await ask({
      title: say(`${vote}_title`), action: say(vote), content: field(say("voter"), voter, say("voter_hint")),
      act: () => this.gateway.json(`${this.path}/${vote}`, { method: "POST", body: { llm_id: voter.value.trim() }, signal: this.signal }),
    });
    if (done) await this.#done(say("vote_done"));
  }

  async #remove(entry) {
    const done = await ask({
      title: say("entry_delete"), action: say("delete"), danger: true, content: make("p", {}, say("entry_delete_about")),
      explain: (error) => (isConflict(error) ? say("conflict") : error.message),
      act: () => this.gateway.json(this.path, { method: "DELETE", headers: { "if-match": `"${entry.version}"` }, signal: this.signal }),
    });
    if (done) this.house.go(link("memory"));
  }

  async #done(text) {
    await this.#read();
    put(this.told, notice("good", text));
  }
}

const isConflict = (error) => error instanceof Refused && error.status === 412;

function past(revisions) {
  const newest = [...revisions].reverse();
  return make(
    "section", { class: "card stack" }, make("h2", {}, say("history")),
    make("ol", { class: "timeline", id: "history" }, ...newest.map((revision) => make(
      "li", {},
      make("p", { class: "row" }, make("span", { class: "strong" }, say("version_of", { version: number(revision.version) })), make("span", { class: "tag" }, say(`change_${revision.change}`)), make("span", { class: "quiet small" }, `${dateTime(revision.changed_at)} · ${revision.llm_id ?? revision.changed_by}`)),
      make("p", { class: "quiet small clamp" }, revision.content.slice(0, 600)),
    ))),
  );
}
