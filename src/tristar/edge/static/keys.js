/** Keys: who may do what, made once, changed, rotated and revoked; and how much of their limits is used. */

import { link } from "./address.js";
import { ask } from "./dialog.js";
import { make, put } from "./dom.js";
import { choice, field } from "./form.js";
import { copyable, keyBody, keyChanges, keyFields } from "./keyform.js";
import { bar } from "./meter.js";
import { Page, empty, notice } from "./page.js";
import { details, table } from "./table.js";
import { ago, dateTime, money, number, percent, say } from "./words.js";

const OVERLAPS = [0, 300, 3_600, 86_400];

export class Keys extends Page {
  enter() {
    this.told = make("div", { id: "keys-told", role: "status" });
    this.list = make("div", { class: "stack", id: "keys" });
    this.more = make("div", { class: "row" });
    this.limits = make("div", { class: "stack", id: "limits" });
    const add = make("button", { type: "button", class: "chief", id: "make-key", onclick: () => this.#make() }, say("key_make"));
    put(this.root, this.heading(say("keys"), say("keys_about"), add), this.told, this.list, this.more, make("section", { class: "stack" }, make("h2", {}, say("limits")), make("p", { class: "quiet small" }, say("limits_about")), this.limits));
    this.names = new Map();
    this.#read(null).then(() => this.#readLimits());
  }

  async #read(cursor, quiet = false) {
    const part = cursor === null ? this.list : make("div");
    if (cursor !== null) this.list.append(part);
    put(this.more);
    await this.fill(part, (signal) => this.gateway.json(`admin/keys?limit=50${cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`}`, { signal }), (page) => this.#rows(page), { quiet });
  }

  #rows({ data, next_cursor: next }) {
    if (next !== null) put(this.more, make("button", { type: "button", onclick: () => this.#read(next) }, say("more")));
    for (const { id, name } of data) this.names.set(id, name);
    if (data.length === 0) return empty(say("keys_empty"), say("keys_empty_next"));
    return table(say("keys"), this.#columns(), data);
  }

  #columns() {
    return [
      { title: say("name"), head: true, cell: (key) => [key.name, make("span", { class: "quiet small mono under n" }, `${key.id} · …${key.hint}`)] },
      { title: say("state"), cell: (key) => standing(key) },
      { title: say("scopes"), cell: ({ scopes }) => make("span", { class: "tags" }, ...scopes.map((scope) => make("span", { class: "tag" }, scope))) },
      { title: say("allowance"), cell: (key) => allowance(key), wide: true },
      { title: say("last_used"), cell: ({ last_used_at: at }) => make("span", { class: "n" }, at === null ? say("never") : ago(at)) },
      { title: say("actions"), bare: true, cell: (key) => this.#actions(key) },
    ];
  }

  #actions(key) {
    if (key.revoked_at !== null) return make("a", { href: link("audit", null, { user_id: key.id }) }, say("its_records"));
    const act = (name, run, look = "") => make("button", { type: "button", class: look, "aria-label": `${say(name)}: ${key.name}`, "data-act": name, onclick: run }, say(name));
    return make("span", { class: "row acts" }, act("edit", () => this.#edit(key)), act("rotate", () => this.#rotate(key)), act("revoke", () => this.#revoke(key), "danger"));
  }

  async #make() {
    let made = null;
    const done = await ask({
      title: say("key_make"), action: say("key_make_do"), content: keyFields({ scopes: ["chat"] }),
      act: async (form) => {
        made = await this.gateway.json("admin/keys", { method: "POST", body: keyBody(form), signal: this.signal });
      },
    });
    if (done) this.#once(made);
  }

  async #rotate(key) {
    let made = null;
    const overlap = choice("overlap_s", OVERLAPS.map((seconds) => [String(seconds), say(`overlap_${seconds}`)]), "3600");
    const done = await ask({
      title: say("rotate_title", { name: key.name }), action: say("rotate"), content: [make("p", {}, say("rotate_about")), field(say("overlap"), overlap)],
      act: async () => {
        made = await this.gateway.json(`admin/keys/${encodeURIComponent(key.id)}/rotate`, { method: "POST", body: { overlap_s: Number(overlap.value) }, signal: this.signal });
      },
    });
    if (done) this.#once(made);
  }

  /** Show a key the one time that it can be shown. */
  async #once({ key, name }) {
    await ask({ title: say("key_once", { name }), action: say("key_kept"), content: [make("p", {}, say("key_once_about")), copyable(key)] });
    if (!this.gateway.key) return this.house.askKey(); // it was the first one: the gateway is closed from now on
    await this.#read(null, true);
    return put(this.told, notice("good", say("key_made", { name })));
  }

  async #edit(key) {
    const done = await ask({
      title: say("key_edit", { name: key.name }), action: say("save"), content: keyFields(key),
      act: (form) => this.gateway.json(`admin/keys/${encodeURIComponent(key.id)}`, { method: "PATCH", body: keyChanges(form), signal: this.signal }),
    });
    if (done) await this.#after(say("key_saved", { name: key.name }));
  }

  async #revoke(key) {
    const done = await ask({
      title: say("revoke_title", { name: key.name }), action: say("revoke"), danger: true,
      content: [make("p", {}, say("revoke_about")), details([[say("id"), key.id], [say("last_used"), key.last_used_at === null ? say("never") : dateTime(key.last_used_at)]])],
      act: () => this.gateway.json(`admin/keys/${encodeURIComponent(key.id)}`, { method: "DELETE", signal: this.signal }),
    });
    if (done) await this.#after(say("key_revoked", { name: key.name }));
  }

  async #after(text) {
    await this.#read(null, true);
    put(this.told, notice("good", text));
  }

  #readLimits() {
    return this.fill(this.limits, (signal) => this.gateway.json("admin/limits?limit=100", { signal }), ({ data, more }) => {
      if (data.length === 0) return empty(say("limits_empty"), say("limits_empty_next"));
      return [make("ul", { class: "meters" }, ...data.map((use) => subject(use, this.names))), more > 0 ? make("p", { class: "quiet small" }, say("limits_more", { count: number(more) })) : null].filter(Boolean);
    });
  }
}

function standing({ revoked_at: revoked, expires_at: expires }) {
  if (revoked !== null) return make("span", { class: "state quiet" }, say("key_state_revoked"));
  if (expires !== null && Date.parse(expires) <= Date.now()) return make("span", { class: "state warn" }, say("key_state_expired"));
  return [make("span", { class: "state good" }, make("span", { class: "dot", "aria-hidden": "true" }), say("key_state_good")), expires === null ? "" : make("span", { class: "quiet small under" }, say("until_date", { date: dateTime(expires) }))];
}

function allowance(key) {
  const parts = [
    key.requests_per_minute && say("per_minute", { count: number(key.requests_per_minute) }),
    key.tokens_per_minute && say("tokens_a_minute", { count: number(key.tokens_per_minute) }),
    key.max_concurrent && say("at_a_time", { count: number(key.max_concurrent) }),
    key.budget_usd_per_day && say("per_day", { amount: money(key.budget_usd_per_day) }),
    key.budget_usd_per_month && say("per_month", { amount: money(key.budget_usd_per_month) }),
  ].filter(Boolean);
  return make("span", { class: parts.length > 0 ? "small" : "quiet small" }, parts.length > 0 ? parts.join(" · ") : say("unlimited"));
}

function subject({ subject: name, near, limits }, names) {
  const known = names.get(name.replace(/^key:/, ""));
  return make("li", { class: "card" }, make("div", { class: "row" }, known ? make("span", { class: "strong" }, known) : null, make("span", { class: known ? "quiet small mono" : "strong mono" }, name), near ? make("span", { class: "tag warn" }, say("near")) : null),
    ...limits.map(({ limit, of, used, share }) => {
      const usd = limit.startsWith("budget");
      const write = usd ? money : number;
      return bar(say(`limit_${limit}`), share, say("limit_used", { used: write(used), of: write(of), share: percent(share) }));
    }));
}
