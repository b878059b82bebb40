/**
 * Checking an inclusion proof of the audit log, with nothing but this browser's own cryptography.
 *
 * RFC 9162, 2.1.3.2, over leaves of SHA-256(0x00 || entry); the entry is the SHA-256 of the record's exact
 * line. The checkpoint is a C2SP signed note; its key reads `<name>+<id>+<base64>`.
 */

const ED25519 = 1;
const encoder = new TextEncoder();

/**
 * What the proof shows: {line, path, signature, origin, size, root, keyId, complaint}.
 *
 * `line`, `path` and `signature` are true (it holds), false (it does not) or null (it cannot be told: no
 * line, no key, or a browser without Ed25519). `keyText` is the public key, null where there is none.
 */
export async function check(proof, keyText) {
  const found = { line: null, path: false, signature: null, origin: "", size: 0, root: "", keyId: "", complaint: "" };
  try {
    const entry = fromHex(proof.entry);
    if (proof.line !== null) found.line = same(await sha256(encoder.encode(proof.line)), entry);
    const note = parseNote(proof.checkpoint);
    Object.assign(found, { origin: note.origin, size: note.size, root: hex(note.root) });
    found.path = proof.size === note.size && (await leadsTo(note.root, entry, proof));
    if (keyText !== null) Object.assign(found, await judged(note, keyText));
  } catch (error) {
    found.complaint = error.message;
  }
  return found;
}

/** Whether everything that could be checked holds, and nothing failed. */
export const holds = ({ line, path, signature, complaint }) => line !== false && path && signature !== false && complaint === "";

/** The root that the path leads to from this leaf, or null where its length is wrong. */
export async function rootOf(leaf, index, size, path) {
  if (!(Number.isSafeInteger(index) && index >= 0 && index < size)) return null;
  let [first, last, root] = [index, size - 1, leaf];
  for (const step of path) {
    if (last === 0) return null;
    if (first % 2 === 1 || first === last) {
      root = await node(step, root);
      while (first % 2 === 0 && first !== 0) [first, last] = [half(first), half(last)];
    } else {
      root = await node(root, step);
    }
    [first, last] = [half(first), half(last)];
  }
  return last === 0 ? root : null;
}

/** A signed note taken apart: {body, origin, size, root, signatures: [{name, id, bytes}]}. Raises on anything else. */
export function parseNote(text) {
  const cut = text.lastIndexOf("\n\n");
  if (cut < 0 || !text.endsWith("\n")) throw new Error("the checkpoint is no signed note");
  const body = text.slice(0, cut + 1);
  const [origin, size, root] = body.split("\n");
  if (!/^(0|[1-9]\d{0,15})$/.test(size)) throw new Error("the checkpoint tells no size");
  const signatures = text.slice(cut + 2, -1).split("\n").map(parseSignature);
  return { body, origin, size: Number(size), root: fromBase64(root), signatures };
}

/** A public key taken apart: {name, id, bytes}. Raises where its id does not fit it. */
export async function parseKey(text) {
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text.trim()) ?? [];
  if (name === undefined) throw new Error("the key is not <name>+<id>+<base64>");
  const raw = fromBase64(encoded);
  const digest = await sha256(join(encoder.encode(`${name}\n`), raw));
  if (raw[0] !== ED25519 || raw.length !== 33 || hex(digest.slice(0, 4)) !== id) throw new Error("the key's id does not fit its name and bytes");
  return { name, id, bytes: raw.slice(1) };
}

async function leadsTo(root, entry, proof) {
  const leaf = await sha256(join([0], entry));
  const reached = await rootOf(leaf, proof.seq, proof.size, proof.hashes.map(fromBase64));
  return reached !== null && same(reached, root);
}

async function judged(note, keyText) {
  const key = await parseKey(keyText);
  const own = note.signatures.filter(({ name, id }) => name === key.name && id === key.id);
  const verdicts = await Promise.all(own.map(({ bytes }) => signedBy(key, bytes, note.body)));
  const signature = verdicts.includes(null) ? null : verdicts.includes(true);
  return { signature, keyId: key.id };
}

/** Whether this key signed it; null where the browser has no Ed25519. */
async function signedBy(key, signature, body) {
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key.bytes, { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (error.name === "NotSupportedError") return null;
    throw error;
  }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, encoder.encode(body));
}

function parseSignature(text) {
  const [, name, encoded] = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(text) ?? [];
  const raw = fromBase64(encoded ?? "");
  if (raw.length < 5) throw new Error("a signature of the checkpoint is malformed");
  return { name, id: hex(raw.slice(0, 4)), bytes: raw.slice(4) };
}

const node = (left, right) => sha256(join([1], left, right));
const half = (number) => Math.floor(number / 2);
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const same = (one, other) => one.length === other.length && one.every((byte, index) => byte === other[index]);
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function fromHex(text) {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new Error("not hexadecimal");
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

function fromBase64(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  if (btoa(String.fromCharCode(...bytes)) !== text) throw new Error("not canonical base64");
  return bytes;
}
