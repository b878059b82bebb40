/** One record of the audit log: what it says, and the proof that it is in the log, checked here. */

import { link } from "./address.js";
import { TONES } from "./audit.js";
import { make, put } from "./dom.js";
import { field, line } from "./form.js";
import { Refused } from "./gateway.js";
import { Page, notice } from "./page.js";
import { check, holds } from "./proof.js";
import { details } from "./table.js";
import { dateTime, duration, number, say } from "./words.js";

export class AuditRecord extends Page {
  enter({ id }) {
    this.seq = Number(id);
    const box = make("div", { class: "stack", id: "record" });
    put(this.root, this.heading(say("record_title", { seq: number(this.seq) }), null, make("a", { class: "button", href: link("audit") }, say("back_to_audit"))), box);
    this.fill(box, (signal) => this.#ask(signal), (found) => this.#shown(found));
  }

  async #ask(signal) {
    const record = await this.#record(signal);
    const proof = await this.gateway.json(`admin/audit/records/${this.seq}/proof`, { signal, patience: 60_000 }).catch((error) => {
      if (error instanceof Refused && error.status === 404) return null; // not published yet
      throw error;
    });
    const key = await this.gateway.json("admin/audit/public-key", { signal });
    return { record: record ?? (proof?.line ? JSON.parse(proof.line) : null), proof, key: key.public_key };
  }

  async #record(signal) {
    const after = this.seq > 0 ? `&cursor=${this.seq - 1}` : "";
    const { data } = await this.gateway.json(`admin/audit?order=oldest&limit=1${after}`, { signal, patience: 60_000 });
    return data[0]?.seq === this.seq ? data[0] : null;
  }

  #shown({ record, proof, key }) {
    if (record === null && proof === null) return notice("", say("record_none"), say("record_none_next"));
    return [record === null ? notice("", say("record_deleted"), say("record_deleted_next")) : this.#facts(record), this.#proof(proof, key)];
  }

  #facts(record) {
    const { details: told, ...rest } = record;
    const trace = record.trace_id ? make("a", { class: "mono", href: link("audit", null, { trace_id: record.trace_id }) }, record.trace_id) : null;
    return make(
      "section", { class: "card stack" },
      make("div", { class: "row" }, make("span", { class: `tag ${TONES[record.log_level] ?? ""}` }, record.log_level ?? "–"), make("h2", {}, record.action ?? "–"), record.outcome ? make("span", { class: "quiet" }, record.outcome) : null),
      details([
        [say("time"), dateTime(record.timestamp)],
        [say("resource"), mono(record.resource)],
        [say("trace_id"), trace, "trace"],
        [say("key_id"), record.user_id ? make("a", { class: "mono", href: link("audit", null, { user_id: record.user_id }) }, record.user_id) : null],
        [say("session_id"), mono(rest.session_id)],
        [say("ip_address"), mono(rest.ip_address)],
        [say("status"), rest.status === null ? null : String(rest.status)],
        [say("duration"), rest.duration_ms === null ? null : duration(rest.duration_ms / 1000)],
        [say("host"), mono([rest.host, rest.worker].filter(Boolean).join(" · "))],
        [say("event_id"), mono(rest.event_id)],
      ]),
      told ? make("details", { open: true }, make("summary", {}, say("details")), make("pre", { tabindex: "0" }, make("code", {}, JSON.stringify(told, null, 2)))) : null,
    );
  }

  #proof(proof, key) {
    if (proof === null) return notice("", say("proof_soon"), say("proof_soon_next"), make("button", { type: "button", onclick: () => this.house.again() }, say("retry")));
    const box = make("div", { class: "stack", id: "proof" });
    const own = line("key", key, { class: "mono", maxlength: "300" });
    const form = make("form", { class: "stack" }, field(say("public_key"), own, say("public_key_hint")), make("div", { class: "row" }, make("button", { type: "submit" }, say("check_again"))));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#check(box, proof, own.value.trim() || null, own.value.trim() !== key);
    });
    this.#check(box, proof, key, false);
    return make("section", { class: "card stack" }, make("h2", {}, say("proof")), box, make("details", {}, make("summary", {}, say("proof_key")), form));
  }

  async #check(box, proof, key, foreign) {
    const found = await check(proof, key);
    const good = holds(found);
    put(
      box,
      notice(good ? "good" : "bad", say(good ? "proof_holds" : "proof_fails"), statement(found, proof, foreign)),
      make("ol", { class: "steps" }, step(found.line, say(found.line === null ? "proof_line_none" : "proof_line")), step(found.path, say("proof_path", { hashes: number(proof.hashes.length), size: number(proof.size) })), step(found.signature, say(found.signature === null ? "proof_signature_none" : "proof_signature", { key: found.keyId }))),
      found.complaint ? make("p", { class: "bad small" }, found.complaint) : null,
      details([[say("entry"), mono(proof.entry)], [say("root"), mono(found.root)], [say("origin"), mono(found.origin)]]),
    );
  }
}

/** What was proven, and what was not, in plain words. */
function statement(found, proof, foreign) {
  if (!holds(found)) return say("proof_fails_about");
  const said = [say(found.line === null ? "proven_entry" : "proven_line", { seq: number(proof.seq), size: number(proof.size) })];
  said.push(say(found.signature === true ? (foreign ? "proven_key_own" : "proven_key_served") : "proven_unsigned"));
  return said.join(" ");
}

function step(holding, text) {
  const [mark, tone, state] = holding === true ? ["✓", "good", "step_yes"] : holding === false ? ["✕", "bad", "step_no"] : ["–", "quiet", "step_unknown"];
  return make("li", {}, make("span", { class: `mark ${tone}`, "aria-hidden": "true" }, mark), make("span", {}, make("span", { class: "sr" }, `${say(state)}: `), text));
}

const mono = (text) => (text ? make("span", { class: "mono break" }, text) : null);
