// Calls the routes below /admin/ops with the token, which is kept in this tab only.

const KEY = "cart-ops-token";
const SECONDS = 60;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Who has signed in: `{admin, allStores, stores}`, or null. */
export const session = { access: null };

export const hasToken = () => sessionStorage.getItem(KEY) !== null;
export const keepToken = (token) => sessionStorage.setItem(KEY, token.replace(/^Bearer\s+/i, "").trim());
export const dropToken = () => sessionStorage.removeItem(KEY);

/** Reads a route; parameters that are empty are left out. */
export function read(route, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  const query = new URLSearchParams(given).toString();
  return call(`admin/ops/${route}${query && `?${query}`}`, { method: "GET" });
}

/** Sends a signal. */
export function send(route, body) {
  const headers = { "Content-Type": "application/json" };
  return call(`admin/ops/${route}`, { method: "POST", headers, body: JSON.stringify(body) });
}

async function call(address, request) {
  const headers = { ...request.headers, Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
  const signal = AbortSignal.timeout(SECONDS * 1000);
  let response;
  try {
    response = await fetch(address, { ...request, headers, signal, cache: "no-store" });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Refused(0, late ? "No answer in time" : "The service does not answer");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, body.message ?? `Status ${response.status}`);
  return body;
}
