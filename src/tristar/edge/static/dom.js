/** Building and filling elements. Text only ever becomes text: nothing here parses markup. */

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * An HTML element with attributes and children (elements or strings; null ones are left out).
 * An attribute whose name begins with `on` is a listener: `onclick`.
 */
export function make(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function draw(name, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}

/** Set text only if it differs: screen readers announce what changes, and selections survive. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replace the children, only if `key` (what they were made from) has changed. */
export function fill(element, key, build) {
  const made = JSON.stringify(key);
  if (element.madeFrom === made) return;
  element.madeFrom = made;
  put(element, build());
}

/** Replace the children by one or many; null ones are left out. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}
