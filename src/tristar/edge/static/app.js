/** The console: the frame around its pages, and the way from one to another. */

import { link, read } from "./address.js";
import { showCondition } from "./condition.js";
import { byId, make, put, setText } from "./dom.js";
import { Gateway, Gone, Refused } from "./gateway.js";
import { Login } from "./login.js";
import { Overview } from "./overview.js";
import { Page } from "./page.js";
import { keepLanguage, keepTheme, keptTheme } from "./preferences.js";
import { say, speak, translate } from "./words.js";

const READY_EVERY_MS = 5_000;
const OTHERS_AFTER_MS = 500;

/** Each page by its name in the address, and the page of one thing on it; fetched when first asked for. */
const PAGES = {
  overview: [async () => Overview],
  llms: [async () => (await import("./llms.js")).Llms, async () => (await import("./llms.js")).Llms],
  calls: [async () => (await import("./calls.js")).Calls],
  audit: [async () => (await import("./audit.js")).Audit, async () => (await import("./record.js")).AuditRecord],
  memory: [async () => (await import("./memory.js")).Memory, async () => (await import("./entry.js")).MemoryEntry],
  keys: [async () => (await import("./keys.js")).Keys],
  playground: [async () => (await import("./playground.js")).Playground],
};

/** Fetch every page, so that each is there when it is wanted, even if the gateway is not. */
const fetchAll = () => Promise.allSettled(Object.values(PAGES).flat().map((page) => page()));

/** Stands for a page whose file did not come. */
class Missing extends Page {
  enter() {
    put(this.root, this.heading(say("trouble_gone"), null), this.trouble(new Gone(), () => location.reload()));
  }
}

class Console {
  constructor() {
    this.gateway = new Gateway(sessionStorage, (message) => this.#locked(message));
    this.configuration = null;
    this.ready = null; // what the gateway last said of its parts
    this.page = null;
    this.onTheme = null; // what the page wants to know of
    this.onReady = null;
    this.nav = byId("nav");
  }

  /** Begin: learn what the page needs to know, show the page of the address. */
  async start() {
    this.#wire();
    this.showNav();
    this.configuration = await this.#configuration();
    this.#watchReady();
    await this.show({ focus: false });
    setTimeout(fetchAll, OTHERS_AFTER_MS);
  }

  /** Go to another address within the console. */
  go(address) {
    if (location.hash === address) this.again();
    else location.hash = address;
  }

  /** Show the page of the address anew. */
  again() {
    this.show({ focus: true });
  }

  /** Use this key, or forget the one there is, and show the page anew. */
  useKey(key) {
    this.gateway.useKey(key);
    this.again();
  }

  /** Ask for another key. */
  askKey() {
    this.gateway.useKey("");
    this.#enter(new Login(this), { refused: "" }, true);
  }

  /** How the memory may be searched. */
  memoryModes() {
    return this.configuration.by_meaning ? ["hybrid", "text", "semantic"] : ["text"];
  }

  /** Resolves after so long, or at once when the signal is aborted. */
  wait(ms, signal) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      }, { once: true });
    });
  }

  /** Show the page that the address names. */
  async show({ focus }) {
    const address = read(location.hash);
    const kinds = PAGES[address.page] ?? PAGES.overview;
    const wanted = (this.wanted = {});
    this.showNav();
    const Kind = await this.#fetch(address.id === null ? kinds[0] : (kinds[1] ?? kinds[0]));
    if (this.wanted === wanted) this.#enter(new Kind(this), address, focus); // else somebody went on meanwhile
  }

  /** A page's class; where its file cannot be fetched, a page that says so. */
  async #fetch(page) {
    try {
      return await page();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return Missing;
    }
  }

  #enter(page, address, focus) {
    this.page?.leave();
    this.page = page;
    const main = byId("main");
    main.dataset.page = address.page ?? "login";
    main.dataset.state = "";
    page.state = (name) => {
      if (this.page === page) main.dataset.state = name;
    };
    put(main, page.root);
    page.enter(address);
    const heading = main.querySelector("h1");
    document.title = `${heading.textContent} · TriStar`;
    byId("forget").hidden = !this.gateway.key;
    if (!focus) return;
    scrollTo(0, 0);
    (main.querySelector("#key") ?? heading).focus({ preventScroll: true });
  }

  /** Links to the pages, the one that is shown marked. */
  showNav() {
    const { page } = read(location.hash);
    put(this.nav, make("ul", {}, ...Object.keys(PAGES).map((name) => make("li", {}, make("a", { href: link(name), "aria-current": name === page ? "page" : null }, say(`nav_${name}`))))));
  }

  #locked(message) {
    if (this.page instanceof Login) return;
    this.#enter(new Login(this), { refused: message }, true);
  }

  /** Follow how the gateway and its parts fare, while somebody looks. */
  async #watchReady() {
    const always = new AbortController().signal;
    for (;;) {
      if (!document.hidden) await this.#readReady();
      await this.wait(READY_EVERY_MS, always);
    }
  }

  async #readReady() {
    try {
      this.ready = await this.gateway.json("health/ready", { also: [503] });
      showCondition(byId("condition"), this.ready.draining ? "draining" : this.ready.status);
    } catch (error) {
      if (!(error instanceof Gone || error instanceof Refused)) throw error;
      this.ready = null;
      showCondition(byId("condition"), "gone");
    }
    byId("announcement").hidden = !this.ready?.notice;
    setText(byId("announcement"), this.ready?.notice ?? "");
    this.onReady?.();
  }

  /** The page's configuration, asked for until it comes. */
  async #configuration() {
    const always = new AbortController().signal;
    for (;;) {
      try {
        return await this.gateway.json("console/config.json");
      } catch (error) {
        if (!(error instanceof Gone || error instanceof Refused)) throw error;
        showCondition(byId("condition"), "gone");
        await this.wait(READY_EVERY_MS, always);
      }
    }
  }

  #wire() {
    const root = document.documentElement;
    byId("theme").value = keptTheme();
    byId("theme").addEventListener("change", (event) => {
      keepTheme(event.target.value);
      this.onTheme?.();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.onTheme?.());
    byId("language").value = root.lang;
    byId("language").addEventListener("change", (event) => {
      keepLanguage(event.target.value);
      speak(root.lang);
      translate(document);
      showCondition(byId("condition"), this.ready === null ? null : this.ready.status);
      this.show({ focus: false });
    });
    byId("forget").addEventListener("click", () => this.askKey());
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the part of the address behind # names the page
      byId("main").focus();
    });
    addEventListener("hashchange", () => this.show({ focus: true }));
  }
}

speak(document.documentElement.lang);
translate(document);
await new Console().start();
