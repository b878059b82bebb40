/** The console: reads the gateway every two seconds while somebody looks, and shows what it read. */

import { concerns, showAudit, showConcerns, showCondition, showDependencies } from "./condition.js";
import { byId, setText } from "./dom.js";
import { llmFigures, rate } from "./figures.js";
import { Gateway, Gone, Refused } from "./gateway.js";
import { History } from "./history.js";
import { showLlms } from "./llms.js";
import { Overview } from "./overview.js";
import { Playground } from "./playground.js";
import { keepLanguage, keepTheme, keptTheme } from "./preferences.js";
import { NotMetrics, read } from "./reading.js";
import { clock, say, speak, translate } from "./words.js";

const EVERY_MS = 2_000;
const MODELS_EVERY_MS = 60_000;
const SAVE_EVERY_MS = 10_000;
const CHAT = new URL("../v1/chat/completions", import.meta.url);

class Console {
  constructor(metricsPath) {
    this.metricsPath = metricsPath;
    this.gateway = new Gateway(sessionStorage);
    this.history = new History(sessionStorage, Date.now());
    this.overview = new Overview();
    this.playground = new Playground(this.gateway, (message) => this.#lock("models", message));
    this.reading = null; // the last one that came
    this.ready = null;
    this.models = null;
    this.modelsAt = -Infinity;
    this.savedAt = Date.now();
    this.trouble = null; // why there are no figures: [phrase, slots]
    this.modelsTrouble = null;
    this.locked = new Map(); // what asks for a key, and what the gateway said about the one it got
    this.gone = false;
    this.paused = false;
    this.timer = 0;
    this.running = false;
  }

  /** Read now, and again in two seconds, as long as the page is visible and not paused. */
  async tick() {
    clearTimeout(this.timer);
    if (this.running || document.hidden) return;
    this.running = true;
    try {
      await this.#read();
    } finally {
      this.running = false;
    }
    this.show();
    if (!this.paused) this.timer = setTimeout(() => this.tick(), EVERY_MS);
  }

  /** Use this key, or forget the one there is, and read everything anew. */
  useKey(key) {
    this.gateway.useKey(key);
    this.locked.clear();
    if (!key) this.history.clear();
    if (!key) this.reading = null;
    this.modelsAt = -Infinity;
    this.models = null;
    this.tick();
  }

  setPaused(paused) {
    this.paused = paused;
    if (paused) clearTimeout(this.timer);
    else this.tick();
    this.show();
  }

  /** One after the other: a health check in progress would count as an active connection. */
  async #read() {
    const wasGone = this.gone;
    try {
      this.ready = await this.gateway.json("health/ready", [503]);
      this.gone = false;
    } catch (error) {
      this.gone = true;
      if (!(error instanceof Gone || error instanceof Refused)) throw error;
      return;
    }
    if (wasGone) this.locked.clear();
    await this.#readMetrics();
    if (Date.now() - this.modelsAt >= MODELS_EVERY_MS && !this.locked.has("models")) await this.#readModels();
  }

  async #readMetrics() {
    if (this.metricsPath === null) this.trouble = ["metrics_off", {}];
    if (this.metricsPath === null || this.locked.has("metrics")) return;
    try {
      this.reading = read(await this.gateway.text(this.metricsPath), Date.now(), this.metricsPath);
      this.history.add(this.reading);
      this.trouble = null;
      this.#save();
    } catch (error) {
      this.trouble = this.#metricsTrouble(error);
    }
  }

  #metricsTrouble(error) {
    const path = this.metricsPath;
    if (error instanceof NotMetrics) return ["metrics_strange", { path, status: "200" }];
    if (error instanceof Gone) return ["metrics_failed", { status: "–", message: error.message }];
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) {
      this.#lock("metrics", error.message);
      return ["metrics_locked", {}];
    }
    if (error.status === 403) return ["metrics_forbidden", {}];
    if (error.status === 404) return ["metrics_strange", { path, status: "404" }];
    return ["metrics_failed", { status: error.status, message: error.message }];
  }

  async #readModels() {
    this.modelsAt = Date.now();
    this.modelsTrouble = null;
    try {
      this.models = (await this.gateway.json("v1/models")).data;
    } catch (error) {
      this.models = null;
      if (!(error instanceof Gone || error instanceof Refused)) throw error;
      if (error.status === 401) this.#lock("models", error.message);
      else this.modelsTrouble = ["models_failed", { message: error.message }];
    }
  }

  #lock(what, message) {
    this.locked.set(what, this.gateway.key ? message : "");
    this.#showAccess();
  }

  #save(force = false) {
    if (!force && Date.now() - this.savedAt < SAVE_EVERY_MS) return;
    this.savedAt = Date.now();
    this.history.save();
  }

  keep() {
    this.#save(true);
  }

  /** Show everything as it stands. */
  show() {
    const language = document.documentElement.lang;
    const { history, reading, ready, gone } = this;
    const end = reading?.at ?? Date.now();
    byId("main").dataset.state = this.#state();
    this.#showHead();
    this.#showAccess();
    this.#showNotice();
    const figures = reading === null ? null : llmFigures(history.llmsUpTo(reading));
    const found = gone ? [] : concerns({ ready, reading, latest: history.points.at(-1), llms: figures });
    showConcerns(found, !gone && reading !== null && this.trouble === null, language);
    this.overview.show(history.points, end, language);
    showDependencies(gone ? null : ready, language);
    this.#showTable(figures, language);
    showAudit(reading, rate(history.readings.slice(-6), "auditRecords"), language);
    const names = (this.models ?? []).map(({ id }) => id);
    const offered = names.length > 0 ? names : Object.keys(reading?.breakers ?? {});
    this.playground.offer(offered, language);
    this.#showEmpty(offered[0] ?? "provider/model");
  }

  /** Where nobody has called yet: how to. */
  #showEmpty(model) {
    const { reading, gone, gateway } = this;
    byId("empty").hidden = gone || reading === null || Object.values(reading.llms).some(({ calls }) => calls > 0);
    const key = gateway.key || this.locked.size > 0 ? ' -H "Authorization: Bearer $KEY"' : "";
    const body = JSON.stringify({ model, messages: [{ role: "user", content: say("question_first") }] });
    setText(byId("curl"), `curl ${CHAT}${key} -H 'Content-Type: application/json' \\\n  -d '${body}'`);
  }

  #state() {
    if (this.gone) return "gone";
    if (this.ready === null) return "loading";
    if (this.metricsPath === null) return "unmeasured";
    if (this.reading === null) return this.trouble ? "troubled" : "loading";
    return this.trouble ? "stale" : "live";
  }

  #showHead() {
    const { gone, paused, ready, reading } = this;
    showCondition(paused ? "paused" : gone ? "gone" : ready === null ? null : ready.draining ? "draining" : ready.status);
    setText(byId("reading"), reading === null ? "" : say(paused ? "reading_paused" : "reading", { time: clock(reading.at) }));
    const pause = byId("pause");
    setText(pause, say(paused ? "resume" : "pause"));
    byId("forget").hidden = !this.gateway.key;
    byId("announcement").hidden = !ready?.notice;
    setText(byId("announcement"), ready?.notice ?? "");
  }

  #showAccess() {
    const form = byId("access");
    const message = [...this.locked.values()].find(Boolean);
    const partly = this.locked.size > 0 && !this.locked.has("metrics");
    setText(byId("access-why"), message ? say("access_refused", { message }) : say(partly && this.metricsPath ? "access_part" : "access_why"));
    const wasHidden = form.hidden;
    form.hidden = this.locked.size === 0;
    if (wasHidden && !form.hidden && this.reading === null) byId("key").focus({ preventScroll: true });
  }

  #showNotice() {
    const { gone, reading, trouble, modelsTrouble } = this;
    const told = gone ? [reading ? "gone_since" : "gone", { time: reading ? clock(reading.at) : "" }] : (trouble ?? modelsTrouble);
    const notice = byId("notice");
    notice.hidden = told === null;
    notice.className = gone ? "notice bad" : "notice warn";
    if (told) setText(notice, say(...told));
  }

  #showTable(figures, language) {
    const recent = document.querySelector('input[name="span"]:checked').value === "recent";
    const since = recent ? this.history.since : null;
    const shown = figures !== null && !recent ? llmFigures([{}, this.reading.llms]) : figures;
    showLlms({ models: this.models, locked: this.locked.has("models"), breakers: this.reading?.breakers ?? {}, figures: shown, since, language });
  }
}

/** Connect the page's own controls. */
function wire(page) {
  const root = document.documentElement;
  byId("theme").value = keptTheme();
  byId("theme").addEventListener("change", (event) => keepTheme(event.target.value));
  byId("language").value = root.lang;
  byId("language").addEventListener("change", (event) => {
    keepLanguage(event.target.value);
    speak(root.lang);
    translate(document);
    page.playground.retell();
    page.show();
  });
  byId("pause").addEventListener("click", () => page.setPaused(!page.paused));
  byId("forget").addEventListener("click", () => page.useKey(""));
  byId("access").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = byId("key");
    const key = field.value.trim();
    if (!/^[\x21-\x7e]+$/.test(key)) {
      setText(byId("access-why"), say("access_malformed"));
      return;
    }
    field.value = "";
    page.useKey(key);
  });
  for (const choice of document.querySelectorAll('input[name="span"]')) choice.addEventListener("change", () => page.show());
  byId("history").addEventListener("toggle", () => page.show());
  document.addEventListener("visibilitychange", () => (document.hidden ? page.keep() : page.tick()));
  window.addEventListener("pagehide", () => page.keep());
}

/** The page's configuration, asked for until it comes. */
async function configuration() {
  for (;;) {
    try {
      return await new Gateway(sessionStorage).json("console/config.json");
    } catch (error) {
      if (!(error instanceof Gone || error instanceof Refused)) throw error;
      showCondition("gone");
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }
}

speak(document.documentElement.lang);
translate(document);
const { metrics_path: metricsPath } = await configuration();
const page = new Console(metricsPath);
wire(page);
page.show();
await page.tick();
