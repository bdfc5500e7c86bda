// The page of a cart and one saga of it, as `cart ops show` prints it.

import { ago, el, outside, showSaga, span, stamp, table, words } from "./dom.js";
import { sagaButtons } from "./signals.js";
import { effectTable, outcomeOf } from "./tables.js";

export function sagaPage(report) {
  return [
    title(report),
    facts(report),
    report.runId ? el("p", {}, sagaButtons(report)) : null,
    some("Lines", LINES, report.lines),
    ...report.repairs.map((repair) => el("p", {}, `Found: ${repair}`)),
    report.steps.length ? table("Steps", steps(report.startedAt), report.steps) : null,
    el("p", {}, `Cart: ${cart(report)}`),
    el("p", {}, `Reserved in the inventory: ${units(report.holds)}`),
    report.pending.length ? effectTable("Pending effects", report.pending, report.at) : null,
    some("Latest changes", LATEST, report.latest),
    el("h3", {}, "What to do next"),
    el("ul", {}, report.next.map((line) => el("li", {}, words(line)))),
  ].filter((part) => part !== null);
}

const some = (caption, columns, rows) => (rows.length ? table(caption, columns, rows) : null);

const LINES = [
  ["product", (line) => line.productId],
  ["units", (line) => (line.before === null ? "" : `${line.before} -> ${line.after}`)],
  ["price", (line) => line.price],
  ["availability", (line) => line.availability],
  ["inventory", (line) => line.inventory],
];

const LATEST = [
  ["at", (change) => stamp(change.at)],
  ["operation", (change) => change.operation],
  ["outcome", (change) => change.outcome],
  ["what", (change) => change.what],
  ["run", (change) => showSaga(change.runId)],
];

const steps = (started) => [
  ["after", (step) => ago(started, step.at)],
  ["step", (step) => step.what],
  ["took", (step) => (step.seconds === null ? "" : span(step.seconds))],
  ["tries", (step) => String(step.tries ?? "")],
  ["note", (step) => step.note],
];

function title(report) {
  if (report.operation)
    return el("h3", {}, `${report.operation} `, outcomeOf(report), ` after ${span(report.seconds)}`);
  return el("h3", {}, report.recorded ? `${report.recorded}, by its record` : "No change is known");
}

function facts(report) {
  const stop = report.intervention;
  const shown = {
    cart: report.storeId && `${report.storeId}/${report.userId}`,
    by: report.actor && `${report.actor.type}:${report.actor.id}`,
    product: report.productId,
    order: report.orderId,
    started: stamp(report.startedAt),
    saga: report.sagaId,
    run: report.runId,
    record: report.recorded,
    reason: report.reason ?? report.recordedReason,
    "ended by": stop && `${stop.by}: ${stop.reason}`,
    details: report.says,
    page: report.url && outside(report.url, "In the Web UI"),
  };
  const known = Object.entries(shown).filter(([, value]) => value);
  return el("dl", {}, known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function cart(report) {
  if ("mongodb" in report.unasked) return "unknown";
  const found = report.cart;
  return found ? `${found.cartId}, version ${found.version}, ${units(found.lines)}` : "none";
}

function units(counts) {
  if (counts === null) return "unknown";
  return Object.entries(counts).map(([product, count]) => `${count} x ${product}`).join(", ") || "nothing";
}
