// Tables that several views have.

import { ago, el, showSaga, span, stamp, table } from "./dom.js";
import { skipButton } from "./signals.js";

/** How a saga stands, in words; of a run that was stopped also whether its change is stored. */
export function outcomeOf(saga) {
  let text = saga.outcome.replace("_", " ");
  if (saga.stored) text += `, ${saga.stored}`;
  if (saga.attention && saga.outcome === "running") text += ", needs attention";
  if (saga.reset) text += " (reset)";
  return el("span", { class: `outcome ${saga.outcome}` }, text);
}

export const sagaTable = (caption, sagas) =>
  table(
    caption,
    [
      ["started", (saga) => stamp(saga.startedAt)],
      ["operation", (saga) => saga.operation],
      ["outcome", outcomeOf],
      ["store", (saga) => saga.storeId],
      ["user", (saga) => showSaga(`${saga.storeId}/${saga.userId}`, saga.userId)],
      ["product", (saga) => saga.productId],
      ["took", (saga) => span(saga.seconds)],
      ["reason", (saga) => saga.reason],
      ["run", (saga) => showSaga(saga.runId)],
    ],
    sagas,
  );

export const effectTable = (caption, effects, now) =>
  table(
    caption,
    [
      ["since", (effect) => ago(effect.since, now)],
      ["effect", (effect) => effect.effectId],
      ["what", (effect) => `${effect.kind} ${effect.what}`],
      ["relay", (effect) => effect.relay],
      ["store", (effect) => effect.storeId],
      ["user", (effect) => showSaga(`${effect.storeId}/${effect.userId}`, effect.userId)],
      ["do", skipButton],
    ],
    effects,
  );
