// Signing in and out, the links to the views, and the form and the result of the current view.

import { Refused, dropToken, hasToken, keepToken, read, session } from "./api.js";
import { el, stamp } from "./dom.js";
import { VIEWS } from "./views.js";

const UNAUTHORIZED = 401;
const part = (id) => document.getElementById(id);
let note = "";
let turn = 0;

part("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(part("token").value);
  part("token").value = "";
  enter();
});
part("sign-out").addEventListener("click", () => leave());
window.addEventListener("hashchange", () => session.access && show());
document.addEventListener("signalled", (event) => {
  note = event.detail;
  show();
});
enter();

/** Shows the view when there is a token that an admin may use, else the form for one. */
async function enter() {
  if (!hasToken()) return leave();
  try {
    session.access = await read("access");
  } catch (error) {
    return leave(error);
  }
  part("admin").textContent = session.access.admin;
  inOrOut(true);
  await show();
}

function leave(error) {
  dropToken();
  session.access = null;
  turn += 1;
  inOrOut(false);
  part("view").replaceChildren();
  tell(error);
  part("token").focus();
}

function inOrOut(isIn) {
  for (const id of ["who", "views", "view"]) part(id).hidden = !isIn;
  part("sign-in").hidden = isIn;
  part("status").textContent = part("done").textContent = "";
}

function tell(error) {
  part("problem").hidden = !error;
  part("problem").textContent = error ? error.message : "";
}

/** The view and its parameters, which the address has behind `#`. */
function asked() {
  const [name, query] = location.hash.slice(1).split("?");
  const known = name in VIEWS && mayShow(VIEWS[name]) ? name : "stuck";
  return [known, Object.fromEntries(new URLSearchParams(query))];
}

const mayShow = (view) => session.access.allStores || !view.forAll;

async function show() {
  const [name, parameters] = asked();
  const view = VIEWS[name];
  const mine = (turn += 1);
  tell(null);
  part("done").textContent = note;
  note = "";
  links(name);
  const heading = el("h2", { tabindex: "-1" }, view.title);
  const result = el("div", { id: "result" });
  part("view").replaceChildren(heading, form(name, view, parameters), result);
  document.title = `${view.title} - Cart Service operations`;
  heading.focus();
  part("status").textContent = "";
  if (view.fields.some((field) => field.required && !parameters[field.name])) return;
  await load(view, parameters, result, mine);
}

async function load(view, parameters, result, mine) {
  part("status").textContent = "Asking the servers";
  try {
    const found = await view.load(withStore(view, parameters));
    if (mine !== turn) return;
    const warning = found.incomplete ? [el("p", { class: "warning" }, found.incomplete)] : [];
    result.replaceChildren(...warning, ...view.show(found).map(paragraph));
    part("status").textContent = `As of ${stamp(found.at)}`;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (mine !== turn) return;
    if (error.status === UNAUTHORIZED) return leave(error);
    part("status").textContent = "";
    tell(error);
  }
}

const paragraph = (node) => (typeof node === "string" ? el("p", {}, node) : node);

/** An admin of some stores sees one of them at a time. */
function withStore(view, parameters) {
  const needs = !session.access.allStores && view.fields.some((field) => field.name === "storeId");
  return needs ? { storeId: session.access.stores[0], ...parameters } : parameters;
}

function links(current) {
  const shown = Object.entries(VIEWS).filter(([, view]) => mayShow(view));
  part("views").replaceChildren(
    ...shown.map(([name, view]) => {
      const again = () => location.hash === `#${name}` && show();
      const isCurrent = name === current ? "page" : null;
      return el("a", { href: `#${name}`, "aria-current": isCurrent, onclick: again }, view.title);
    }),
  );
}

function form(name, view, parameters) {
  const inputs = view.fields.map((field) => input(field, parameters[field.name] ?? ""));
  const submit = (event) => {
    event.preventDefault();
    const given = [...new FormData(event.target)].filter(([, value]) => value.trim());
    const query = new URLSearchParams(given).toString();
    const hash = `#${name}${query && `?${query}`}`;
    if (location.hash === hash) show();
    else location.hash = hash;
  };
  const button = el("button", { type: "submit" }, view.fields.length ? "Show" : "Refresh");
  return el("form", { onsubmit: submit }, inputs, button);
}

function input(field, value) {
  const id = `field-${field.name}`;
  const stores = field.name === "storeId" && !session.access.allStores ? session.access.stores : null;
  const choices = stores ?? field.choices;
  const made = choices
    ? el("select", { id, name: field.name }, choices.map((choice) => option(choice, value)))
    : el("input", { id, name: field.name, value, placeholder: field.hint, required: field.required });
  return el("div", { class: "field" }, el("label", { for: id }, field.label), made);
}

const option = (choice, value) =>
  el("option", { value: choice, selected: choice === value }, choice.replace("_", " ") || "any");
