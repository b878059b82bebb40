/** Talking to the gateway that served this page: the key goes into a header, never into an address. */

const ROOT = new URL("..", import.meta.url); // right behind a proxy's path prefix, too
const KEPT_AS = "tristar.key";
const PATIENCE_MS = 8_000;

/** The gateway cannot be reached, or did not answer in time. */
export class Gone extends Error {}

/** The gateway answered, but not with what was asked for; `status` says how. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Gateway {
  constructor(storage) {
    this.storage = storage;
    this.key = storage.getItem(KEPT_AS) ?? "";
  }

  /** Use this key from now on; an empty one forgets it. */
  useKey(key) {
    this.key = key;
    if (key) this.storage.setItem(KEPT_AS, key);
    else this.storage.removeItem(KEPT_AS);
  }

  /** GET as text. */
  async text(path, accept = "text/plain") {
    const response = await this.#ask(path, { headers: { accept }, signal: AbortSignal.timeout(PATIENCE_MS) });
    await refuse(response);
    return whole(response, () => response.text());
  }

  /** GET as JSON; statuses in `also` are answers too. */
  async json(path, also = []) {
    const response = await this.#ask(path, {
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!also.includes(response.status)) await refuse(response);
    return whole(response, () => response.json());
  }

  /** POST JSON; the response as soon as its headers are there, whatever its status. */
  post(path, body, signal) {
    return this.#ask(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
  }

  async #ask(path, options) {
    const headers = new Headers(options.headers);
    if (this.key) headers.set("authorization", `Bearer ${this.key}`);
    const address = new URL(path.replace(/^\//, ""), ROOT);
    try {
      return await fetch(address, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Gone(error.message);
    }
  }
}

/** The message of an error envelope, or what else the body says, cut short. */
export async function complaint(response) {
  const text = await response.text().catch(() => "");
  try {
    return String(JSON.parse(text).error.message);
  } catch {
    return text.slice(0, 300) || response.statusText;
  }
}

async function refuse(response) {
  if (!response.ok) throw new Refused(response.status, await complaint(response));
}

async function whole(response, read) {
  try {
    return await read();
  } catch (error) {
    if (error instanceof SyntaxError) throw new Refused(response.status, "not JSON");
    throw new Gone(error.message);
  }
}
