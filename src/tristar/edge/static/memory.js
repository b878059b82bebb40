/** The shared memory: browsed and searched, page by page; new entries. An entry is opened on its own page. */

import { link } from "./address.js";
import { make, put } from "./dom.js";
import { choice, field, line, names, written } from "./form.js";
import { Page, empty, notice } from "./page.js";
import { ask } from "./dialog.js";
import { table } from "./table.js";
import { dateTime, percent, say } from "./words.js";

export const TYPES = ["fact", "decision", "code", "summary", "context", "todo"];
const FILTERS = ["q", "mode", "type", "project", "tags", "min_confidence"];

export class Memory extends Page {
  enter({ filters }) {
    this.filters = Object.fromEntries(FILTERS.map((name) => [name, filters.get(name) ?? ""]));
    this.list = make("div", { class: "stack", id: "entries" });
    this.more = make("div", { class: "row" });
    const add = make("button", { type: "button", class: "chief", id: "remember", onclick: () => this.#add() }, say("remember"));
    put(this.root, this.heading(say("memory"), say("memory_about"), add), this.#form(), this.list, this.more);
    this.#read(null);
  }

  #form() {
    const { filters } = this;
    const modes = this.house.memoryModes();
    const form = make(
      "form", { class: "filters card", role: "search", id: "memory-filter" },
      field(say("search"), line("q", filters.q, { type: "search", maxlength: "1000" }), say("search_hint"), "broad"),
      modes.length > 1 ? field(say("search_mode"), choice("mode", modes.map((name) => [name, say(`mode_${name}`)]), filters.mode || modes[0])) : null,
      field(say("type"), choice("type", [["", say("any")], ...TYPES.map((name) => [name, name])], filters.type)),
      field(say("project"), line("project", filters.project, { maxlength: "128" })),
      field(say("tags"), line("tags", filters.tags, { maxlength: "1000" })),
      make("div", { class: "row end" }, make("a", { class: "button", href: link("memory") }, say("clear")), make("button", { type: "submit", class: "chief" }, say("apply"))),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const asked = new FormData(form);
      this.house.go(link("memory", null, Object.fromEntries(FILTERS.map((name) => [name, String(asked.get(name) ?? "").trim()]))));
    });
    return form;
  }

  async #read(cursor) {
    const part = make("div");
    if (cursor === null) put(this.list, part);
    else this.list.append(part);
    put(this.more);
    await this.fill(part, (signal) => this.gateway.json(this.#path(cursor), { signal }), (page) => this.#rows(page, cursor === null));
  }

  #path(cursor) {
    const asked = Object.entries(this.filters).filter(([name, value]) => value !== "" && (name !== "mode" || this.filters.q !== ""));
    const query = new URLSearchParams([...asked, ["limit", "25"], ...(cursor === null ? [] : [["cursor", cursor]])]);
    return `v1/memory${this.filters.q === "" ? "" : "/search"}?${query}`;
  }

  #rows({ data, next_cursor: next, notice: told }, first) {
    if (next !== null) put(this.more, make("button", { type: "button", onclick: () => this.#read(next) }, say("more")));
    if (data.length > 0) return [told ? notice("warn", told) : null, table(say("memory"), COLUMNS(), data, { open: ({ id }) => link("memory", id) })];
    if (!first) return null;
    const filtered = Object.entries(this.filters).some(([name, value]) => value !== "" && name !== "mode");
    return filtered ? empty(say("memory_nothing"), say("memory_nothing_next")) : empty(say("memory_empty"), say("memory_empty_next"));
  }

  async #add() {
    let id = null;
    const made = await ask({
      title: say("remember"), action: say("save"), content: entryFields({}), explain: (error) => error.message,
      act: async (form) => {
        ({ id } = await this.gateway.json("v1/memory", { method: "POST", body: entryBody(form), signal: this.signal }));
      },
    });
    if (made) this.house.go(link("memory", id));
  }
}

const COLUMNS = () => [
  { title: say("content"), head: true, cell: ({ content }) => make("span", { class: "clamp" }, content.slice(0, 400)) },
  { title: say("type"), cell: ({ type }) => make("span", { class: "tag" }, type) },
  { title: say("project"), cell: ({ project, tags }) => [project, tags.length > 0 ? make("span", { class: "quiet small under" }, tags.join(", ")) : ""] },
  { title: say("confidence"), n: true, cell: ({ confidence }) => percent(confidence) },
  { title: say("updated"), cell: ({ updated_at: at }) => dateTime(at), wide: true },
];

/** The fields of an entry, filled with what it is. */
export function entryFields({ content = "", type = "fact", project = "", tags = [], importance = 0.5, confidence = 0.5 }) {
  return [
    field(say("content"), filled(make("textarea", { name: "content", rows: "6", required: true }), content)),
    make("div", { class: "filters" },
      field(say("type"), choice("type", TYPES.map((name) => [name, name]), type)),
      field(say("project"), line("project", project, { maxlength: "128" })),
      field(say("tags"), line("tags", tags.join(", ")), say("comma_hint")),
      field(say("importance"), line("importance", importance, { type: "number", min: "0", max: "1", step: "0.01" })),
      field(say("confidence"), line("confidence", confidence, { type: "number", min: "0", max: "1", step: "0.01" }))),
  ];
}

/** What the form says of an entry, as the gateway takes it. */
export function entryBody(form) {
  const of = written(form);
  const body = { content: new FormData(form).get("content"), type: of("type"), tags: names(of("tags")) ?? [], importance: Number(of("importance")), confidence: Number(of("confidence")) };
  return of("project") ? { ...body, project: of("project") } : body;
}

function filled(area, text) {
  area.value = text;
  return area;
}
