// Elements, tables, and texts as `cart ops` writes them. Data is only ever set as text.

/** An element; `on…` attributes are listeners, and null or false leaves an attribute out. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A text with its commands, which are between backquotes, as code. */
export const words = (text) =>
  String(text).split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

export const stamp = (time) => (time ? `${time.slice(0, 19).replace("T", " ")}Z` : "");

export function span(seconds) {
  if (seconds < 1) return `${Math.round(Math.max(seconds, 0) * 1000)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds >= 2 * 86400) return `${Math.round(seconds / 86400)} d`;
  if (seconds >= 2 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 60)} min`;
}

export const ago = (time, now) => (time ? span((Date.parse(now) - Date.parse(time)) / 1000) : "");

/** A link into the Temporal Web UI. */
export const outside = (url, text) =>
  url ? el("a", { href: url, target: "_blank", rel: "noreferrer" }, text) : text;

/** A link to a view of this page. */
export function inside(view, parameters, text) {
  return el("a", { href: `#${view}?${new URLSearchParams(parameters)}` }, text);
}

export const showSaga = (name, text = name) => (name ? inside("show", { saga: name }, text) : "");

/** A table; `columns` are pairs of a heading and what a row has there. On a phone rows are cards, for
 * which the roles are said: a table that is no block of rows loses them. */
export function table(caption, columns, rows) {
  const heading = ([name]) => el("th", { scope: "col", role: "columnheader" }, name);
  const cell = (row) => ([name, of]) =>
    el("td", { role: "cell", "data-heading": name }, el("span", {}, of(row) ?? ""));
  const line = (...cells) => el("tr", { role: "row" }, ...cells);
  return el(
    "table",
    { role: "table" },
    el("caption", {}, caption),
    el("thead", { role: "rowgroup" }, line(columns.map(heading))),
    el("tbody", { role: "rowgroup" }, rows.map((row) => line(columns.map(cell(row))))),
  );
}
