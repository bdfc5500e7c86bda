// The views: what each reads, and how it shows that. Words and columns are those of `cart ops`.

import { read } from "./api.js";
import { ago, el, inside, outside, showSaga, table, words } from "./dom.js";
import { sagaPage } from "./saga.js";
import { relayButtons } from "./signals.js";
import { effectTable, sagaTable } from "./tables.js";

const OUTCOMES = [
  "committed", "rejected", "aborted", "replayed", "unchanged",
  "running", "failed", "timed_out", "terminated", "canceled",
];

const STORE = { name: "storeId", label: "Store" };
const USER = { name: "userId", label: "User" };

/** The views in the order of their links. `forAll`: only for admins of all stores. */
export const VIEWS = {
  stuck: { title: "Stuck", fields: [STORE], load: (asked) => read("stuck", asked), show: stuck },
  sagas: {
    title: "Sagas",
    fields: [
      STORE,
      USER,
      { name: "productId", label: "Product" },
      { name: "orderId", label: "Order" },
      { name: "operation", label: "Operation" },
      { name: "outcome", label: "Outcome", choices: ["", ...OUTCOMES] },
      { name: "olderThan", label: "Older than", hint: "5m" },
      { name: "newerThan", label: "Newer than", hint: "2h" },
      { name: "attention", label: "Needs attention", choices: ["", "true"] },
    ],
    load: (asked) => read("sagas", asked),
    show: sagas,
  },
  undone: {
    title: "Undone",
    fields: [STORE, USER],
    load: (asked) => read("sagas", { ...asked, outcome: "aborted" }),
    show: sagas,
  },
  pending: {
    title: "Pending",
    fields: [STORE, USER],
    load: (asked) => read("pending", asked),
    show: (found) => (found.relays ? relays(found) : effects(found)),
  },
  show: {
    title: "Cart or saga",
    fields: [{ name: "saga", label: "STORE/USER, or the id of a run, operation or saga", required: true }],
    load: (asked) => read("show", asked),
    show: sagaPage,
  },
  drift: { title: "Drift", fields: [STORE], load: (asked) => read("drift", asked), show: drift },
  relays: { title: "Relays", fields: [], forAll: true, load: () => read("pending"), show: relays },
};

function stuck(found) {
  const count = found.problems.length;
  if (!count) return [found.incomplete ? "Nothing is known to be stuck" : "Nothing is stuck"];
  const columns = [
    ["since", (item) => ago(item.since, found.at)],
    ["what", (item) => outside(item.url, item.what)],
    ["what to do", (item) => words(item.advice)],
    ["see", (item) => see(item)],
  ];
  return [table(`${count} stuck`, columns, found.problems)];
}

function see(item) {
  if (item.kind === "saga") return showSaga(item.name, "show");
  if (item.kind === "relay") return inside("relays", {}, "relays");
  return "";
}

function sagas(found) {
  const counted = `${found.sagas.length} of ${found.count} sagas`;
  const link = el("p", {}, outside(found.url, "In the Web UI"));
  return [found.sagas.length ? sagaTable(counted, found.sagas) : counted, link];
}

function effects(found) {
  const counted = `pending effects: ${found.effects.length}`;
  return [found.effects.length ? effectTable(counted, found.effects, found.at) : counted];
}

function relays(found) {
  const known = !("mongodb" in found.unasked);
  const total = found.relays.reduce((sum, relay) => sum + (relay.effects ?? 0), 0);
  const counted = `pending effects: ${known ? total : "unknown"}`;
  if (!found.relays.length) return [counted];
  const columns = [
    ["relay", (relay) => outside(relay.url, relay.relay)],
    ["pending", (relay) => String(relay.effects ?? "?")],
    ["oldest", (relay) => ago(relay.oldest, found.at)],
    ["state", (relay) => stateOf(relay)],
    ["details", (relay) => relay.says],
    ["do", (relay) => el("span", {}, relayButtons(relay))],
  ];
  return [table(counted, columns, found.relays)];
}

function stateOf(relay) {
  if (relay.running === null) return "unknown";
  if (!relay.running) return "not running";
  if (relay.pausedSince) return el("strong", {}, "paused");
  return relay.attention ? el("strong", {}, "needs attention") : "running";
}

function drift(found) {
  const looked = found.lookedAt ? `compared ${ago(found.lookedAt, found.at)} ago` : "";
  const next = el("p", {}, words(found.next));
  if (!found.findings.length) return [next, looked];
  const count = `${found.findings.length}${found.more ? " or more" : ""} drifts, ${looked}`;
  const columns = [
    ["store", (one) => one.storeId],
    ["user", (one) => showSaga(`${one.storeId}/${one.userId}`, one.userId)],
    ["drift", (one) => one.kind],
    ["product", (one) => one.productId],
    ["what", (one) => one.what],
    ["since", (one) => ago(one.seenAt, found.at)],
  ];
  return [table(count, columns, found.findings), next];
}
