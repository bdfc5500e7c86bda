// The page: products, cart and checkout.

import { CartApi } from "./cart_api.js";
import { element } from "./dom.js";
import { follow } from "./live.js";
import { Panel } from "./panel.js";

const at = (id) => document.getElementById(id);
const busy = new Set();

let api;
let panel = null;
let cart = null;

function say(text, kind) {
  at("message").textContent = text;
  at("message").className = kind;
}

function money(amount, currency) {
  return new Intl.NumberFormat("en", { style: "currency", currency }).format(amount);
}

/** Does one change; further ones of that name are ignored meanwhile. */
async function act(name, work) {
  if (busy.has(name)) return;
  busy.add(name);
  show(cart);
  try {
    const { status, body } = await work();
    say(status < 400 ? "" : body.message, status < 400 ? "good" : "bad");
    return { status, body };
  } catch (error) {
    say(error.message, "bad");
    return null;
  } finally {
    busy.delete(name);
    const now = await api.read().catch(() => cart);
    show(now);
  }
}

function button(name, text, work, properties = {}) {
  const made = element("button", {
    type: "button",
    textContent: text,
    onclick: () => act(name, work),
    ...properties,
  });
  // Not `disabled` while it works: the button would lose the keyboard's focus.
  made.setAttribute("aria-disabled", String(busy.has(name)));
  made.dataset.key = properties.ariaLabel ?? text;
  return made;
}

async function showProducts() {
  const products = await (await fetch("shop/products.json")).json();
  at("products").replaceChildren(
    ...products.map(({ image, ...product }) => {
      const url = new URL(`shop/${image}`, location.href).href;
      const add = element("button", { type: "button", textContent: "Add to cart", ariaLabel: `Add ${product.productTitle} to cart` });
      add.onclick = async () => {
        const done = await act(`add ${product.productId}`, () =>
          api.add({ ...product, productImage: [url], quantity: 1 }));
        if (done && done.status < 300) say(`${product.productTitle} is in the cart`, "good");
      };
      return element("li", { className: "product" }, [
        element("img", { src: `shop/${image}`, alt: "", width: 120, height: 120 }),
        element("h3", { textContent: product.productTitle }),
        element("p", { className: "soft", textContent: product.productDescription }),
        element("p", { textContent: money(product.productPrice, "USD") }),
        add,
      ]);
    }),
  );
}

function shownLine(line, frozen) {
  const { productId, productTitle, productQuantity: units } = line;
  const set = (quantity) => () =>
    quantity ? api.setQuantity(cart._id, productId, quantity) : api.remove(cart._id, productId);
  const controls = element("div", { className: "steps" }, [
    button(`line ${productId}`, "−", set(units - 1), { className: "plain", disabled: frozen, ariaLabel: `One ${productTitle} less` }),
    element("span", { textContent: units }),
    button(`line ${productId}`, "+", set(units + 1), { className: "plain", disabled: frozen, ariaLabel: `One ${productTitle} more` }),
    button(`line ${productId}`, "Remove", set(0), { className: "plain", disabled: frozen, ariaLabel: `Remove ${productTitle}` }),
  ]);
  const notes = {
    out_of_stock: "Out of stock",
    hold_expired: "No longer reserved: it is reserved again at the next change or at checkout",
  };
  const note = notes[line.availabilityStatus];
  return element("li", { className: "line" }, [
    element("span", { textContent: productTitle }),
    element("span", { className: "amount", textContent: money(line.productPrice * units, cart.currency) }),
    controls,
    ...(note ? [element("span", { className: "note", textContent: note })] : []),
  ]);
}

function show(found) {
  if (found && cart && found._id === cart._id && found.version < cart.version) return;
  cart = found;
  const lines = cart?.cartItems ?? [];
  const focused = document.activeElement?.dataset.key;
  at("lines").replaceChildren(...lines.map((line) => shownLine(line, Boolean(cart.checkout))));
  at("total").textContent = lines.length ? `Total ${money(cart.totalPrice, cart.currency)}` : "It is empty";
  at("cart-actions").replaceChildren(...(lines.length ? actions() : []));
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function actions() {
  const { checkout } = cart;
  if (!checkout) {
    return [
      button("checkout", "Check out", () => api.checkout()),
      button("clear", "Empty the cart", () => api.clear(), { className: "plain" }),
    ];
  }
  const until = new Date(checkout.expiresAt).toLocaleTimeString();
  return [
    element("p", { textContent: `Checked out, and reserved for you until ${until}` }),
    ...(panel
      ? [
          button("pay", "Pay", () => panel.pay(cart, true)),
          button("fail", "Let the payment fail", () => panel.pay(cart, false), { className: "plain" }),
        ]
      : []),
    button("cancel", "Back to the cart", () => api.cancelCheckout(), { className: "plain" }),
  ];
}

async function start() {
  try {
    api = await CartApi.asGuest();
  } catch (error) {
    say(error.message, "bad");
    return;
  }
  at("who").textContent = `You are ${api.user}`;
  const { controlUrl } = await (await fetch("shop/config.json")).json();
  if (controlUrl) {
    panel = new Panel(controlUrl, api.user, say);
    panel.start();
  }
  await showProducts();
  show(await api.read().catch(() => null));
  follow(api, show);
}

start();
