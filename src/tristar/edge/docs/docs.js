// The OpenAPI document as a list of routes. Everything from the document becomes text, never markup.

const METHODS = ["get", "post", "put", "patch", "delete"];

function made(name, ...parts) {
  const element = document.createElement(name);
  element.append(...parts.filter((part) => part !== null && part !== undefined));
  return element;
}

function resolved(schema, all, depth = 0) {
  if (schema === null || typeof schema !== "object" || depth > 6) return schema;
  if (Array.isArray(schema)) return schema.map((each) => resolved(each, all, depth));
  if (typeof schema.$ref === "string") {
    return resolved(all[schema.$ref.split("/").pop()] ?? {}, all, depth + 1);
  }
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [name, resolved(value, all, depth + 1)]),
  );
}

function table(heads, rows) {
  const head = made("tr", ...heads.map((text) => made("th", text)));
  return made("table", head, ...rows.map((cells) => made("tr", ...cells.map((cell) => made("td", cell)))));
}

function kind(schema) {
  if (!schema) return "";
  return schema.type ?? (schema.anyOf ?? schema.oneOf ?? []).map(kind).join(" | ");
}

function bodyOf(operation, all) {
  const content = operation.requestBody?.content ?? {};
  const schema = Object.values(content)[0]?.schema;
  if (!schema) return null;
  return made("div", made("h4", "Body"), made("pre", JSON.stringify(resolved(schema, all), null, 2)));
}

function parametersOf(operation) {
  const found = operation.parameters ?? [];
  if (!found.length) return null;
  const rows = found.map((each) => [each.name, each.in, kind(each.schema), each.description ?? ""]);
  return made("div", made("h4", "Parameters"), table(["name", "in", "type", "meaning"], rows));
}

function route(path, method, operation, all) {
  const title = made("summary", made("b", method.toUpperCase()), made("code", path), " ", operation.summary ?? "");
  const statuses = Object.entries(operation.responses ?? {}).map(([status, each]) => [status, each.description ?? ""]);
  const details = made(
    "details",
    title,
    made("p", operation.description ?? ""),
    parametersOf(operation),
    bodyOf(operation, all),
    made("h4", "Answers"),
    table(["status", "meaning"], statuses),
  );
  details.dataset.text = `${method} ${path} ${operation.summary ?? ""} ${operation.description ?? ""}`.toLowerCase();
  return details;
}

function show(documentOf) {
  const all = documentOf.components?.schemas ?? {};
  const groups = new Map();
  for (const [path, item] of Object.entries(documentOf.paths)) {
    for (const method of METHODS) {
      if (!item[method]) continue;
      const tag = item[method].tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), route(path, method, item[method], all)]);
    }
  }
  const sections = [...groups].map(([tag, routes]) => made("section", made("h2", tag), ...routes));
  document.getElementById("routes").replaceChildren(...sections);
}

function filter() {
  const wanted = document.getElementById("filter").value.trim().toLowerCase();
  for (const section of document.querySelectorAll("section")) {
    const routes = [...section.querySelectorAll("details")];
    for (const each of routes) each.hidden = !each.dataset.text.includes(wanted);
    section.hidden = routes.every((each) => each.hidden);
  }
}

document.getElementById("filter").addEventListener("input", filter);
try {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`/openapi.json: ${answer.status}`);
  show(await answer.json());
} catch (error) {
  document.getElementById("routes").replaceChildren(made("p", `The document cannot be read: ${error.message}`));
}
