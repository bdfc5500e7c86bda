// The client: a method for each thing that a shop does with carts.

import type { components } from "./api.js";
import { NotFound } from "./errors.js";
import { type Options, type Token, Transport } from "./transport.js";

export * from "./errors.js";
export type { Options, Token } from "./transport.js";

type Schemas = components["schemas"];
export type Cart = Schemas["Cart"];
export type BatchCart = Schemas["BatchCart"];
export type BatchOperation = Schemas["BatchOperation"];
export type CartPage = Schemas["CartPage"];
export type Checkout = Schemas["CheckedOutCart"];
export type Guest = Schemas["Guest"];
export type HistoryPage = Schemas["HistoryPage"];
export type Item = Schemas["AddItemRequest"];
export type MergedCart = Schemas["MergedCart"];
export type Strategy = "sum" | "max" | "keep" | "replace";

/** `key` repeats an earlier call, `ifMatch` is the cart that was read. */
export interface ChangeOptions {
  key?: string;
  ifMatch?: Pick<Cart, "_id" | "version">;
}

const BASE = "/api/v1/cart";
const path = (...parts: string[]) => [BASE, ...parts.map(encodeURIComponent)].join("/");
const idOf = (cart: Pick<Cart, "_id"> | string) => (typeof cart === "string" ? cart : cart._id);

function sent({ key, ifMatch }: ChangeOptions) {
  return { key, ifMatch: ifMatch && `"${ifMatch.version}-${ifMatch._id}"` };
}

/** One user's carts. All methods throw `CartError`. */
export class CartClient {
  readonly #http: Transport;

  /** `token` is the user's bearer token, or a function that returns a current one. */
  constructor(baseUrl: string, token?: Token, options: Options = {}) {
    this.#http = new Transport(baseUrl, token, options);
  }

  /** The user's cart in a store, or null. */
  async get(store: string): Promise<Cart | null> {
    try {
      return await this.#http.read<Cart>(path(store, "store"));
    } catch (error) {
      if (error instanceof NotFound) return null;
      throw error;
    }
  }

  /** A cart by its id: the user's own or, for an admin, any of the store. */
  getById(cartId: string): Promise<Cart> {
    return this.#http.read<Cart>(path(cartId));
  }

  /** What changed in a cart, the latest first. */
  history(cartId: string, cursor?: string): Promise<HistoryPage> {
    const query = cursor === undefined ? "" : `?${new URLSearchParams({ cursor })}`;
    return this.#http.read<HistoryPage>(`${path(cartId, "history")}${query}`);
  }

  /** A page of a store's carts, for its admins. */
  async listCarts(store: string, page = 1, limit = 10): Promise<CartPage> {
    const query = new URLSearchParams({ page: String(page), limit: String(limit) });
    const found = await this.#http.read<Schemas["CartList"]>(`${path(store, "admin", "carts")}?${query}`);
    return found.data;
  }

  /** Adds an item. */
  add(store: string, item: Item, options: ChangeOptions = {}): Promise<Cart> {
    return this.#http.change<Cart>("POST", path(store, "store"), item, sent(options));
  }

  /** Sets the units of an item; the cart is named by itself or its id. */
  setQuantity(
    cart: Cart | string,
    productId: string,
    quantity: number,
    options: ChangeOptions = {},
  ): Promise<Cart> {
    return this.#http.change<Cart>("PUT", path(idOf(cart)), { productId, quantity }, sent(options));
  }

  /** Removes an item. */
  async remove(cart: Cart | string, productId: string, options: ChangeOptions = {}): Promise<Cart> {
    const url = path(idOf(cart), "items", productId);
    const done = await this.#http.change<Schemas["ItemRemoved"]>("DELETE", url, undefined, sent(options));
    return done.cart;
  }

  /** Empties and ends the user's cart. */
  async clear(store: string, options: ChangeOptions = {}): Promise<void> {
    await this.#http.change("DELETE", path(store, "store"), undefined, sent(options));
  }

  /** Holds the units of a cart from now on, those as well whose hold has ended. */
  extend(cart: Cart | string, options: ChangeOptions = {}): Promise<Cart> {
    return this.#http.change<Cart>("POST", path(idOf(cart), "extend"), undefined, sent(options));
  }

  /** Does several adds, sets and removes at once. */
  batch(
    store: string,
    operations: readonly BatchOperation[],
    { mode = "all_or_nothing", ...options }: ChangeOptions & { mode?: "all_or_nothing" | "best_effort" } = {},
  ): Promise<BatchCart> {
    const body = { operations, mode };
    return this.#http.change<BatchCart>("POST", path(store, "store", "batch"), body, sent(options));
  }

  /** Freezes the cart and holds its units until `expiresAt`. */
  checkOut(store: string, options: ChangeOptions = {}): Promise<Checkout> {
    return this.#http.change<Checkout>("POST", path(store, "store", "checkout"), undefined, sent(options));
  }

  /** Lets the cart be changed again. */
  async cancelCheckout(store: string, options: ChangeOptions = {}): Promise<void> {
    await this.#http.change("DELETE", path(store, "store", "checkout"), undefined, sent(options));
  }

  /** A new guest; make another client with its token. */
  becomeGuest(): Promise<Guest> {
    return this.#http.change<Guest>("POST", "/api/v1/guests");
  }

  /** Moves the guest's cart into the user's. */
  merge(
    store: string,
    guestToken: string,
    { strategy = "sum", ...options }: ChangeOptions & { strategy?: Strategy } = {},
  ): Promise<MergedCart> {
    const body = { guestToken, strategy };
    return this.#http.change<MergedCart>("POST", path(store, "store", "merge"), body, sent(options));
  }
}
