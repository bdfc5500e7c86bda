// Buttons for signals. Each asks for a reason and a confirmation before anything is sent.

import { Refused, send, session } from "./api.js";
import { el } from "./dom.js";

const part = (id) => document.getElementById(id);
let confirmed = null;

part("confirm-cancel").addEventListener("click", () => part("confirm").close());
part("confirm-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  part("confirm-send").disabled = true;
  try {
    const text = await confirmed(part("reason").value.trim());
    part("confirm").close();
    document.dispatchEvent(new CustomEvent("signalled", { detail: text }));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    part("confirm-problem").textContent = error.message;
    part("confirm-problem").hidden = false;
  } finally {
    part("confirm-send").disabled = false;
  }
});

/** A button for `route`; `told` says in words what the answer means. */
function button(label, title, consequence, route, body, told) {
  const ask = () => {
    confirmed = async (reason) => told(await send(route, { ...body, reason }));
    part("confirm-title").textContent = title;
    part("confirm-consequence").textContent = consequence;
    part("confirm-problem").hidden = true;
    part("reason").value = "";
    part("confirm").showModal();
    part("reason").focus();
  };
  return el("button", { type: "button", class: "signal", "aria-label": title, onclick: ask }, label);
}

export function relayButtons(relay) {
  const [pausing, resuming] = [
    ["Pause", "pause", "Stops it until it is resumed; new effects stay pending."],
    ["Resume", "resume", "Lets the paused relay continue."],
  ];
  const retrying = ["Retry", "retry", "It tries again at once, and is started if it does not run."];
  return [retrying, relay.pausedSince ? resuming : pausing].map(([label, route, consequence]) => {
    const title = `${label} relay ${relay.relay}`;
    const told = () => `sent ${route} to: ${relay.relay}`;
    return button(label, title, consequence, route, { relay: relay.relay }, told);
  });
}

/** Effects belong to relays, which serve all stores. */
export function skipButton(effect) {
  if (!session.access.allStores) return "";
  const what = `${effect.kind} ${effect.what} of ${effect.storeId}/${effect.userId}`;
  const consequence =
    "Gives the effect up for ever: its event is not published, its units are not released.";
  const told = (answer) => `${answer.done ? "skipped" : "not yet skipped"}: ${what}`;
  return button("Skip", `Skip ${what}`, consequence, "skip", { effect: effect.effectId }, told);
}

const STOPPED = ["failed", "timed_out", "terminated"];

/** What can be done about a saga: its undo while it runs, an acknowledgement once it was stopped. */
export function sagaButtons(saga) {
  const cart = `${saga.storeId}/${saga.userId}`;
  if (saga.outcome === "running") {
    const consequence =
      "Asks for its undo: its units are released. What has committed by then is not undone.";
    const told = ({ sagas: [end] }) => `${cart}: ${end.outcome.replace("_", " ")}`;
    const title = `Abort ${saga.operation} on ${cart}`;
    return [button("Abort", title, consequence, "abort", { saga: saga.runId }, told)];
  }
  if (!STOPPED.includes(saga.outcome) || saga.acknowledged) return [];
  const consequence = "Takes it off what is stuck. Its change, or that there is none, stays.";
  const title = `Acknowledge ${saga.operation} on ${cart}`;
  const told = () => "1 acknowledged";
  return [button("Acknowledge", title, consequence, "ack", { saga: saga.runId }, told)];
}
