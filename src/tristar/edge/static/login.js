/** Where access is closed: asking for a key. It is kept in this tab's session storage and sent in a header only. */

import { make, put } from "./dom.js";
import { Page } from "./page.js";
import { say } from "./words.js";

export class Login extends Page {
  enter({ refused }) {
    this.why = make("p", { id: "access-why", class: refused ? "bad" : "quiet", role: refused ? "alert" : null }, refused ? say("access_refused", { message: refused }) : say("access_why"));
    this.key = make("input", { id: "key", type: "password", autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: true, maxlength: "400", "aria-describedby": "access-why access-note" });
    const form = make(
      "form", { id: "access", class: "card stack login" },
      make("label", { for: "key" }, say("access_label")), this.key, this.why,
      make("div", { class: "row" }, make("button", { type: "submit", class: "chief" }, say("access_use"))),
      make("p", { class: "quiet small", id: "access-note" }, say("access_note")),
      make("p", { class: "quiet small" }, say("access_how")),
      make("pre", { tabindex: "0" }, make("code", {}, "tristar keys create --name me --scope admin")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#use();
    });
    put(this.root, this.heading(say("access_title"), null), form);
  }

  #use() {
    const key = this.key.value.trim();
    if (!/^[\x21-\x7e]+$/.test(key)) {
      this.why.textContent = say("access_malformed");
      return;
    }
    this.key.value = "";
    this.house.useKey(key);
  }
}
