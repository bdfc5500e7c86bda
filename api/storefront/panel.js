// What happens inside: processes, sagas with their steps, events; and buttons that break something.

import { STORE } from "./cart_api.js";
import { element } from "./dom.js";

const ASK_SECONDS = 0.8;

export class Panel {
  constructor(url, user, say) {
    this.url = url;
    this.query = new URLSearchParams({ store: STORE, user });
    this.say = say;
    this.broken = { kafka: false, inventory: false };
  }

  start() {
    document.getElementById("panel").hidden = false;
    this.buttons = {
      worker: element("button", { className: "danger", textContent: "Kill the worker" }),
      kafka: element("button", { className: "danger" }),
      inventory: element("button", { className: "danger" }),
    };
    this.buttons.worker.onclick = () => this.send("kill-worker", {}, "The worker was killed; it is started again");
    this.buttons.kafka.onclick = () =>
      this.send("stop-kafka", { on: !this.broken.kafka }, this.broken.kafka ? "Kafka goes on" : "Kafka is stopped");
    this.buttons.inventory.onclick = () =>
      this.send(
        "slow-inventory",
        { on: !this.broken.inventory },
        this.broken.inventory ? "The inventory is quick again" : "The inventory is slow",
      );
    document.getElementById("breaking").replaceChildren(...Object.values(this.buttons));
    this.label();
    this.ask();
  }

  label() {
    const labels = {
      kafka: this.broken.kafka ? "Let Kafka go on" : "Stop Kafka",
      inventory: this.broken.inventory ? "Make the inventory quick" : "Make the inventory slow",
    };
    for (const [name, text] of Object.entries(labels)) {
      if (this.buttons[name].textContent !== text) this.buttons[name].textContent = text;
    }
  }

  async send(action, content, message) {
    try {
      await this.post(action, content);
      this.say(message, "");
    } catch (error) {
      this.say(error.message, "bad");
    }
  }

  /** Lets the order service tell Kafka of a payment; the answer is like the API's. */
  async pay({ _id: cartId, checkout }, paid) {
    await this.post("pay", { checkoutId: checkout.checkoutId, cartId, paid });
    return { status: 202, body: {} };
  }

  async post(action, content) {
    const answer = await fetch(`${this.url}/${action}?${this.query}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(content),
    });
    if (!answer.ok) throw new Error((await answer.json()).message);
  }

  async ask() {
    for (;;) {
      if (!document.hidden) {
        try {
          const answer = await fetch(`${this.url}/feed?${this.query}`);
          if (answer.ok) this.show(await answer.json());
        } catch {
          // `cart run` has ended, or starts again.
        }
      }
      await new Promise((done) => setTimeout(done, ASK_SECONDS * 1000));
    }
  }

  show({ parts, sagas, events }) {
    const states = Object.fromEntries(parts.map((part) => [part.name, part.state]));
    this.broken = { kafka: states.kafka === "stopped", inventory: states.inventory === "slow" };
    this.label();
    document.getElementById("parts").replaceChildren(...parts.map(shownPart));
    document.getElementById("sagas").replaceChildren(...sagas.map(shownSaga));
    document.getElementById("events").replaceChildren(...events.map(shownEvent));
  }
}

function shownPart({ name, state, starts }) {
  const again = starts > 1 ? `, started ${starts} times` : "";
  return element("li", { className: state, textContent: `${name}: ${state}${again}` });
}

function shownSaga(saga) {
  const steps = saga.steps.map((step) => {
    const took = step.milliseconds === null ? "…" : `${step.milliseconds} ms`;
    const tries = step.tries > 1 ? `, ${step.tries} tries` : "";
    return element("li", { textContent: `${step.what} ${took}${tries}`, title: step.note });
  });
  return element("li", { className: "saga" }, [
    element("div", { className: "head" }, [
      element("span", { textContent: saga.operation }),
      element("span", { className: `state ${saga.state}`, textContent: saga.state }),
      element("span", { className: "soft", textContent: saga.says ?? "" }),
      ...(saga.url
        ? [element("a", { href: saga.url, target: "_blank", rel: "noreferrer", textContent: "Web UI" })]
        : []),
    ]),
    element("ol", { className: "flow" }, steps),
  ]);
}

function shownEvent({ topic, at, value }) {
  const product = value.productId ? ` ${value.productId} x ${value.quantity}` : "";
  const time = at.slice(11, 19);
  return element("li", { textContent: `${time} ${topic}${product}, version ${value.version ?? "?"}` });
}
