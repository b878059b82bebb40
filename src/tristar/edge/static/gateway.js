/** Talking to the gateway that served this page: the key goes into a header, never into an address. */

import { events } from "./events.js";

const ROOT = new URL("..", import.meta.url); // right behind a proxy's path prefix, too
const KEPT_AS = "tristar.key";
const PATIENCE_MS = 8_000;

/** The gateway cannot be reached, or did not answer in time. */
export class Gone extends Error {}

/** The gateway answered, but not with what was asked for; `status` and `code` say how. */
export class Refused extends Error {
  constructor(status, message, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Gateway {
  /** `onLocked(message)` is told whenever the gateway wants another key. */
  constructor(storage, onLocked = () => {}) {
    this.storage = storage;
    this.onLocked = onLocked;
    this.key = storage.getItem(KEPT_AS) ?? "";
  }

  /** Use this key from now on; an empty one forgets it. */
  useKey(key) {
    this.key = key;
    if (key) this.storage.setItem(KEPT_AS, key);
    else this.storage.removeItem(KEPT_AS);
  }

  /** The full address of a path. */
  address(path) {
    return new URL(path.replace(/^\//, ""), ROOT);
  }

  /** The JSON of an answer, null where it has no body; statuses in `also` are answers too. */
  async json(path, { method = "GET", body, headers, also = [], signal, patience = PATIENCE_MS } = {}) {
    const until = AbortSignal.any([AbortSignal.timeout(patience), ...(signal ? [signal] : [])]);
    const response = await this.open(path, { method, body, headers, signal: until }, signal);
    if (!also.includes(response.status)) await this.#refuse(response);
    if (response.status === 204) return null;
    return whole(response, () => response.json(), signal);
  }

  /** The response as soon as its headers are there, refusals being raised. */
  async stream(path, options) {
    const response = await this.open(path, options, options.signal);
    await this.#refuse(response);
    return response;
  }

  /** The data of each server-sent event, until the stream ends. */
  async *events(path, signal) {
    const response = await this.stream(path, { headers: { accept: "text/event-stream" }, signal });
    try {
      yield* events(response.body);
    } catch (error) {
      throw signal.aborted ? error : new Gone(error.message);
    }
  }

  /** The response as soon as its headers are there, whatever its status; `left` is the caller's own signal. */
  async open(path, { method = "GET", body, headers, signal }, left = signal) {
    const sent = new Headers({ accept: "application/json", ...headers });
    if (this.key) sent.set("authorization", `Bearer ${this.key}`);
    if (body !== undefined) sent.set("content-type", "application/json");
    const content = body === undefined ? undefined : JSON.stringify(body);
    try {
      return await fetch(this.address(path), { method, body: content, headers: sent, signal, cache: "no-store", credentials: "omit", redirect: "error" });
    } catch (error) {
      if (left?.aborted) throw error;
      throw new Gone(error.message);
    }
  }

  async #refuse(response) {
    if (response.ok) return;
    const { message, code } = await complaint(response);
    if (response.status === 401) this.onLocked(this.key ? message : "");
    throw new Refused(response.status, message, code);
  }
}

/** The message and code of an error envelope, or what else the body says, cut short. */
export async function complaint(response) {
  const text = await response.text().catch(() => "");
  try {
    const { message, code } = JSON.parse(text).error;
    return { message: String(message), code: String(code ?? "") };
  } catch {
    return { message: text.slice(0, 300) || response.statusText, code: "" };
  }
}

async function whole(response, read, left) {
  try {
    return await read();
  } catch (error) {
    if (left?.aborted) throw error;
    if (error instanceof SyntaxError) throw new Refused(response.status, "not JSON");
    throw new Gone(error.message);
  }
}
