/** The part of the address behind `#`: which page, which thing on it, and with what filters. */

/** What `#/audit/12?action=llm_call` says: {page: "audit", id: "12", filters: URLSearchParams}. */
export function read(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page, ...rest] = path.split("/");
  return { page: page || "overview", id: rest.length > 0 ? decode(rest.join("/")) : null, filters: new URLSearchParams(query) };
}

/** The address of a page; filters without a value are left out. */
export function link(page, id = null, filters = {}) {
  const kept = Object.entries(filters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(kept).toString();
  return `#/${page}${id === null ? "" : `/${encodeURIComponent(id)}`}${query ? `?${query}` : ""}`;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
