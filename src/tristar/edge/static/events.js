/** Server-sent events and JSON lines, read from a body as it comes. */

/** The data of each server-sent event of a body. */
export async function* events(body) {
  for await (const block of pieces(body, /\r?\n\r?\n/)) {
    const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
    if (data.length > 0) yield data.join("\n");
  }
}

/** Each line of a body as JSON. */
export async function* jsonLines(body) {
  for await (const line of pieces(body, /\n/)) if (line.trim()) yield JSON.parse(line);
}

async function* pieces(body, separator) {
  let rest = "";
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + piece).split(separator);
    rest = parts.pop();
    yield* parts;
  }
  if (rest.trim() && separator.source === "\\n") yield rest;
}
