// The cart's API as a shop's page uses it: one key for all tries of a change, and 202 is followed.

const TRIES = 30;
const TOKEN = "cart-guest-token";

export const STORE = "store-1";

export class CartApi {
  constructor(token) {
    this.token = token;
    this.base = `/api/v1/cart/${STORE}/store`;
  }

  /** The guest of this browser; all tabs have the same one. */
  static async asGuest() {
    const kept = JSON.parse(localStorage.getItem(TOKEN) ?? "null");
    if (kept && Date.parse(kept.expiresAt) > Date.now() + 60_000) return new CartApi(kept.token);
    const answer = await fetch("/api/v1/guests", { method: "POST" });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.message);
    localStorage.setItem(TOKEN, JSON.stringify(body));
    return new CartApi(body.token);
  }

  static forgetGuest() {
    localStorage.removeItem(TOKEN);
  }

  /** The user's id, which the token says. */
  get user() {
    const [, claims] = this.token.split(".");
    return JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).sub;
  }

  async read() {
    const answer = await fetch(this.base, { headers: this.headers() });
    if (answer.status === 404) return null;
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.message);
    return body;
  }

  add(product) {
    return this.change("POST", this.base, product);
  }

  setQuantity(cartId, productId, quantity) {
    return this.change("PUT", `/api/v1/cart/${cartId}`, { productId, quantity });
  }

  remove(cartId, productId) {
    return this.change("DELETE", `/api/v1/cart/${cartId}/items/${productId}`);
  }

  clear() {
    return this.change("DELETE", this.base);
  }

  checkout() {
    return this.change("POST", `${this.base}/checkout`);
  }

  cancelCheckout() {
    return this.change("DELETE", `${this.base}/checkout`);
  }

  /** The answer of a change, however often it has to be sent: `{status, body}`. */
  async change(method, url, content) {
    const key = newKey();
    let last = { status: 0, body: { message: "The service cannot be reached" } };
    for (let number = 0; number < TRIES; number += 1) {
      let answer;
      try {
        answer = await fetch(url, {
          method,
          headers: this.headers({
            "Idempotency-Key": key,
            Prefer: "handling=strict",
            ...(content ? { "Content-Type": "application/json" } : {}),
          }),
          body: content ? JSON.stringify(content) : undefined,
        });
      } catch {
        await wait(1);
        continue;
      }
      last = { status: answer.status, body: await answer.json() };
      if (answer.status === 202) return this.outcome(answer.headers.get("Location"), last);
      const again = answer.status >= 500 || last.body.code === "operation_in_progress";
      if (!again) return last;
      await wait(Number(answer.headers.get("Retry-After")) || 1);
    }
    return last;
  }

  async outcome(url, last) {
    for (let number = 0; number < TRIES; number += 1) {
      await wait(1);
      const answer = await fetch(url, { headers: this.headers() }).catch(() => null);
      const body = answer?.ok ? await answer.json() : { status: "pending" };
      if (body.status !== "pending") return body.answer ?? last;
    }
    return last;
  }

  headers(more = {}) {
    return { Authorization: `Bearer ${this.token}`, ...more };
  }
}

const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
