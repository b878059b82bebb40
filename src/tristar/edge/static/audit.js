/** The audit log: filtered, page by page; verified; exported. A record is opened on a page of its own. */

import { link } from "./address.js";
import { make, put } from "./dom.js";
import { jsonLines } from "./events.js";
import { choice, field, line } from "./form.js";
import { Page, empty, notice } from "./page.js";
import { table } from "./table.js";
import { bytes, dateTime, number, say } from "./words.js";

const ACTIONS = [
  "llm_call", "request", "auth_success", "auth_failure", "access_denied", "rate_limited", "budget_exceeded", "breaker_transition",
  "breaker_override", "key_created", "key_updated", "key_revoked", "config_reloaded", "config_rejected", "memory_written", "memory_read",
  "memory_deleted", "audit_read", "audit_exported", "audit_verified", "audit_segment_closed", "audit_retention", "audit_gap",
  "audit_erasure", "audit_hold", "audit_recovered", "service_started", "service_stopped", "dependency_transition",
];
const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "SECURITY"];
const FILTERS = ["since", "until", "action", "level", "user_id", "trace_id", "text"];
const FORMATS = ["jsonl", "ecs", "ocsf", "cef", "leef", "syslog", "parquet"];
const PAGE_ROWS = 50;
const VERIFY_PATIENCE_MS = 3_600_000;

export class Audit extends Page {
  enter({ filters }) {
    this.filters = Object.fromEntries(FILTERS.map((name) => [name, filters.get(name) ?? ""]));
    this.list = make("div", { class: "stack", id: "records" });
    this.more = make("div", { class: "row" });
    put(this.root, this.heading(say("audit"), say("audit_about")), this.#form(), this.list, this.more, this.#upkeep());
    this.#read(null);
  }

  #form() {
    const { filters } = this;
    const form = make(
      "form", { class: "filters card", id: "audit-filter", role: "search" },
      field(say("since"), line("since", filters.since, { type: "datetime-local", step: "1" }), null, "broad"),
      field(say("until"), line("until", filters.until, { type: "datetime-local", step: "1" }), null, "broad"),
      field(say("action"), choice("action", [["", say("any")], ...ACTIONS.map((name) => [name, name])], filters.action)),
      field(say("level"), choice("level", [["", say("any")], ...LEVELS.map((name) => [name, name])], filters.level)),
      field(say("key_id"), line("user_id", filters.user_id, { maxlength: "1024" })),
      field(say("trace_id"), line("trace_id", filters.trace_id, { maxlength: "1024", class: "mono" })),
      field(say("text"), line("text", filters.text, { type: "search", maxlength: "1024" })),
      make("div", { class: "row end" }, make("a", { class: "button", href: link("audit") }, say("clear")), make("button", { type: "submit", class: "chief" }, say("apply"))),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const asked = new FormData(form);
      this.house.go(link("audit", null, Object.fromEntries(FILTERS.map((name) => [name, String(asked.get(name)).trim()]))));
    });
    return form;
  }

  /** The records from this cursor on, below those that are there already. */
  async #read(cursor) {
    const part = make("div");
    if (cursor === null) put(this.list, part);
    else this.list.append(part);
    put(this.more);
    await this.fill(part, (signal) => this.gateway.json(`admin/audit?${this.#query(cursor)}`, { signal, patience: 60_000 }), (page) => this.#rows(page, cursor === null));
  }

  #query(cursor) {
    const asked = Object.entries(this.filters).filter(([, value]) => value !== "").map(([name, value]) => [name, name === "since" || name === "until" ? new Date(value).toISOString() : value]);
    return new URLSearchParams([...asked, ["limit", String(PAGE_ROWS)], ...(cursor === null ? [] : [["cursor", cursor]])]);
  }

  #rows({ data, next_cursor: next }, first) {
    if (next !== null) put(this.more, make("button", { type: "button", id: "older", onclick: () => this.#read(next) }, say("older")));
    if (data.length === 0) return first ? empty(say("audit_empty"), say("audit_empty_next")) : null;
    return table(say("audit"), COLUMNS(), data, { open: (record) => link("audit", record.seq), dense: true });
  }

  #upkeep() {
    return make("div", { class: "two" }, this.#verification(), this.#export());
  }

  #verification() {
    const outcome = make("div", { id: "verdict" });
    const button = make("button", { type: "button", id: "verify" }, say("verify"));
    button.addEventListener("click", async () => {
      button.disabled = true;
      await this.#verify(outcome);
      button.disabled = false;
    });
    return make("section", { class: "card stack" }, make("h2", {}, say("verification")), make("p", { class: "quiet small" }, say("verification_about")), make("div", { class: "row" }, button), outcome);
  }

  async #verify(outcome) {
    const bar = make("progress", { max: "1", value: "0", "aria-label": say("verification") });
    const told = make("p", { class: "quiet small", role: "status" }, say("verifying"));
    put(outcome, bar, told);
    try {
      const until = AbortSignal.any([this.signal, AbortSignal.timeout(VERIFY_PATIENCE_MS)]);
      const response = await this.gateway.stream("admin/audit/verify", { method: "POST", body: { progress: true }, signal: until });
      for await (const { progress, report } of jsonLines(response.body)) {
        if (progress) {
          bar.value = progress.total > 0 ? progress.done / progress.total : 1;
          told.textContent = say("verified_of", { done: bytes(progress.done), total: bytes(progress.total) });
        }
        if (report) put(outcome, verdict(report));
      }
    } catch (error) {
      if (!this.signal.aborted) put(outcome, this.trouble(error));
    }
  }

  #export() {
    const told = make("p", { class: "small", role: "status" });
    const form = make(
      "form", { class: "stack", id: "export" },
      make("div", { class: "filters" },
        field(say("format"), choice("format", FORMATS.map((name) => [name, name.toUpperCase()]), "jsonl")),
        field(say("compression"), choice("compress", [["none", say("compress_none")], ["gzip", "gzip"], ["zstd", "zstd"]], "none"))),
      make("div", { class: "row" }, make("button", { type: "submit" }, say("export"))), told,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#download(new FormData(form), told);
    });
    return make("section", { class: "card stack" }, make("h2", {}, say("export_title")), make("p", { class: "quiet small" }, say("export_about")), form);
  }

  async #download(asked, told) {
    const format = asked.get("format");
    const query = new URLSearchParams({ format, compress: format === "parquet" ? "none" : asked.get("compress") });
    for (const name of ["since", "until"]) if (this.filters[name]) query.set(name, new Date(this.filters[name]).toISOString());
    told.textContent = say("exporting");
    try {
      const response = await this.gateway.stream(`admin/audit/export?${query}`, { signal: this.signal });
      const file = await response.blob();
      const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? `audit.${format}`;
      save(file, name);
      told.textContent = say("exported", { name, size: bytes(file.size) });
    } catch (error) {
      if (!this.signal.aborted) put(told, this.trouble(error));
    }
  }
}

const COLUMNS = () => [
  { title: say("time"), head: true, cell: ({ timestamp }) => make("span", { class: "n" }, dateTime(timestamp)) },
  { title: say("level"), cell: ({ log_level: level }) => make("span", { class: `tag ${TONES[level] ?? ""}` }, level ?? "–") },
  { title: say("action"), cell: ({ action, outcome }) => [make("span", { class: "strong" }, action ?? "–"), outcome ? make("span", { class: "quiet under small" }, outcome) : null].filter(Boolean) },
  { title: say("resource"), cell: ({ resource }) => make("span", { class: "mono" }, resource ?? "–") },
  { title: say("key_id"), cell: ({ user_id: user }) => make("span", { class: "mono" }, user ?? "–"), wide: true },
  { title: say("status"), n: true, cell: ({ status }) => (status === null ? "–" : String(status)), wide: true },
  { title: say("seq"), n: true, cell: ({ seq }) => number(seq), wide: true },
];

export const TONES = { WARNING: "warn", ERROR: "bad", CRITICAL: "bad", SECURITY: "second" };

/** What a verification found. */
export function verdict({ ok, size, root, origin, segments, read_bytes: read, faults, notices }) {
  const text = ok ? say("verify_ok_about", { size: number(size), segments: number(segments), read: bytes(read) }) : say("verify_bad_about");
  return [
    notice(ok ? "good" : "bad", ok ? say("verify_ok") : say("verify_bad", { count: number(faults.length) }), text),
    faults.length > 0 ? make("ul", { class: "faults small" }, ...faults.slice(0, 50).map(({ file, record, problem }) => make("li", {}, make("span", { class: "mono" }, record === null ? file : `${file}, ${record}`), `: ${problem}`))) : null,
    notices.length > 0 ? make("ul", { class: "quiet small" }, ...notices.map((text) => make("li", {}, text))) : null,
    make("p", { class: "quiet small mono break" }, `${origin} · ${root}`),
  ].filter(Boolean);
}

function save(file, name) {
  const address = URL.createObjectURL(file);
  const anchor = make("a", { href: address, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
