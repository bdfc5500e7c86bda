// Shops with the client of clients/typescript.

import {
  CartClient,
  CartError,
  CheckedOut,
  InsufficientStock,
  InvalidRequest,
  PreconditionFailed,
  Unauthorized,
  Unavailable,
} from "./index.js";

declare const process: { env: Record<string, string | undefined> };

const { CART_URL: url = "", CART_STORE: store = "", CART_TOKEN: token = "" } = process.env;

function item(productId: string, quantity: number) {
  return { productId, productTitle: "Wireless Headphones", productPrice: 79.99, quantity };
}

function check(fact: boolean, what: string): asserts fact {
  if (!fact) throw new Error(what);
}

async function refused<E extends CartError>(
  kind: abstract new (...given: never[]) => E,
  work: Promise<unknown>,
): Promise<E> {
  try {
    await work;
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error(`no ${kind.name}`);
}

const nobody = new CartClient(url);
const guest = await nobody.becomeGuest();
check((await refused(Unauthorized, nobody.get(store))).code === "token_missing", "a token");
const lamps = await new CartClient(url, guest.token).add(store, item("lamp", 2)); // 202
check(lamps.quantity === 2, "two lamps");

const carts = new CartClient(url, async () => token);
check((await carts.get(store)) === null, "no cart");
let cart = await carts.add(store, item("headphones", 2), { key: "one-key" });
const again = await carts.add(store, item("headphones", 2), { key: "one-key" });
check(again.version === cart.version, "one effect");
const few = await refused(InsufficientStock, carts.add(store, item("headphones", 50)));
check(few.available === 8, "eight left");
cart = await carts.setQuantity(cart, "headphones", 5, { ifMatch: cart });
check(cart.quantity === 5, "five");
await refused(PreconditionFailed, carts.setQuantity(cart, "headphones", 6, { ifMatch: again }));
const invalid = await refused(InvalidRequest, carts.add(store, item("no id!", 1)));
check(invalid.problem.details?.[0]?.field === "productId", "the field");
const merged = await carts.merge(store, guest.token);
check(merged.quantity === 7, "seven");
const several = await carts.batch(store, [
  { op: "add", ...item("kettle", 2) },
  { op: "set", productId: "kettle", quantity: 1 },
]);
check(several.quantity === 8, "eight");
const checkout = await carts.checkOut(store);
check(checkout.quantity === 8, "eight checked out");
const frozen = await refused(CheckedOut, carts.add(store, item("kettle", 1)));
check(frozen.code === "cart_checked_out", "frozen");
await carts.cancelCheckout(store);
cart = await carts.extend(cart);
check((await carts.history(cart._id)).changes.length >= 5, "history");
cart = await carts.remove(cart, "headphones");
check(cart.quantity === 3, "three");
await carts.clear(store);
check((await carts.get(store)) === null, "no cart again");
const away = new CartClient("http://127.0.0.1:1", token, { patience: 500 });
const nothing = await refused(Unavailable, away.clear(store, { key: "kept" }));
check(nothing.status === 0 && nothing.key === "kept", "the key");
console.log("done");
