// The cart as it changes, in every tab: by server-sent events, else by asking every two seconds.

import { STORE } from "./cart_api.js";

const POLL_SECONDS = 2;

export async function follow(api, show) {
  for (;;) {
    try {
      await stream(api, show);
    } catch {
      // The service is away or ends the stream; ask instead, and try again.
    }
    const cart = await api.read().catch(() => undefined);
    if (cart !== undefined) show(cart);
    await new Promise((done) => setTimeout(done, POLL_SECONDS * 1000));
  }
}

// Not EventSource, which cannot send a token.
async function stream(api, show) {
  const answer = await fetch(`/api/v1/cart/${STORE}/store/events`, {
    headers: api.headers({ Accept: "text/event-stream" }),
  });
  if (!answer.ok || !answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) dispatch(part, show);
  }
}

function dispatch(part, show) {
  const fields = Object.fromEntries(
    part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
  );
  if (fields.event === "cart") show(JSON.parse(fields.data));
  if (fields.event === "cart_deleted") show(null);
}
