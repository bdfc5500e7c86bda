// What the programs of all TypeScript clients share.

const { CART_URL = "", CART_STORE = "", CART_TOKEN = "", CART_ADMIN_TOKEN = "" } = process.env;

export const url = CART_URL;
export const store = CART_STORE;
export const token = CART_TOKEN;
export const adminToken = CART_ADMIN_TOKEN;

export const strict = "handling=strict";

export function item(productId: string, quantity: number) {
  return {
    productId,
    productTitle: "Wireless Headphones",
    productPrice: 79.99,
    productImage: ["https://example.com/image.jpg"],
    quantity,
  };
}

export function check(fact: boolean, what: string): asserts fact {
  if (!fact) throw new Error(what);
}

export function present<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new Error(`no ${what}`);
  return value;
}

export async function polled<T extends { status: string }>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; tries < 60; tries++) {
    const found = await ask();
    if (found.status !== "pending") return found;
    await new Promise((go) => setTimeout(go, 500));
  }
  throw new Error("the operation is pending for too long");
}
