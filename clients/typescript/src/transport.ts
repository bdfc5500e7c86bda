// Sends requests: tries again what can be tried again, and follows 202 to the outcome.

import { errorOf, type Problem } from "./errors.js";

export type Token = string | (() => string | Promise<string>);
type Body = Record<string, unknown>;

export interface Options {
  /** Milliseconds of one request. */
  timeout?: number;
  /** Milliseconds for which a request is tried again. */
  patience?: number;
  fetch?: typeof fetch;
}

export interface Change {
  /** Repeats an earlier call. */
  key?: string | undefined;
  /** An entity tag. */
  ifMatch?: string | undefined;
}

const LONGEST_PAUSE = 10_000;

export class Transport {
  readonly #base: string;
  readonly #token: Token | undefined;
  readonly #timeout: number;
  readonly #patience: number;
  readonly #fetch: typeof fetch;

  constructor(base: string, token: Token | undefined, options: Options) {
    this.#base = base.replace(/\/+$/, "");
    this.#token = token;
    this.#timeout = options.timeout ?? 15_000;
    this.#patience = options.patience ?? 30_000;
    this.#fetch = options.fetch ?? ((...request) => fetch(...request));
  }

  read<T>(path: string): Promise<T> {
    return this.#send<T>("GET", path);
  }

  /** All tries have one key. */
  change<T>(method: string, path: string, body?: unknown, { key, ifMatch }: Change = {}): Promise<T> {
    const kept = key ?? newKey();
    return this.#send<T>(method, path, body, kept, {
      "Idempotency-Key": kept,
      // 409 for too little stock, so that a refusal is never taken for a cart.
      Prefer: "handling=strict",
      ...(ifMatch === undefined ? {} : { "If-Match": ifMatch }),
    });
  }

  async #send<T>(
    method: string,
    path: string,
    body?: unknown,
    key?: string,
    headers: Record<string, string> = {},
  ): Promise<T> {
    const until = Date.now() + this.#patience;
    for (let pause = 200; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      let { status, answer, location, retryAfter } = await this.#once(method, path, body, headers);
      if (status === 202) ({ status, answer } = await this.#outcome(location, until));
      if (status > 0 && status < 400) return answer as T;
      const problem = problemOf(status, answer);
      const again =
        status === 0 || status >= 500 || status === 429 ||
        (status === 409 && problem.code === "operation_in_progress");
      const wait = Math.min(retryAfter ?? pause * (0.5 + Math.random()), LONGEST_PAUSE);
      if (!again || Date.now() + wait > until) throw errorOf(status, problem, key);
      await sleep(wait);
    }
  }

  async #once(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; answer: Body; location: string; retryAfter: number | undefined }> {
    const content = body === undefined ? {} : { "Content-Type": "application/json" };
    try {
      const response = await this.#fetch(this.#base + path, {
        method,
        headers: await this.#authorized({ ...headers, ...content }),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(this.#timeout),
      });
      const seconds = Number(response.headers.get("Retry-After"));
      return {
        status: response.status,
        answer: (await response.json()) as Body,
        location: response.headers.get("Location") ?? "",
        retryAfter: seconds > 0 ? seconds * 1000 : undefined,
      };
    } catch (error) {
      return { status: 0, answer: { message: String(error) }, location: "", retryAfter: undefined };
    }
  }

  async #outcome(path: string, until: number): Promise<{ status: number; answer: Body }> {
    while (Date.now() < until) {
      await sleep(500);
      const { status, answer } = await this.#once("GET", path);
      if (status === 200 && answer["status"] !== "pending") {
        const { status: last, body } = answer["answer"] as { status: number; body: Body };
        return { status: last, answer: body };
      }
    }
    return { status: 0, answer: { message: `The operation has not ended: ${path}` } };
  }

  async #authorized(headers: Record<string, string>): Promise<Record<string, string>> {
    if (this.#token === undefined) return headers;
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    return { ...headers, Authorization: `Bearer ${token}` };
  }
}

/** The body as a problem, also where a proxy has answered. */
function problemOf(status: number, answer: Body): Problem {
  if (typeof answer["code"] === "string" && typeof answer["message"] === "string") {
    return answer as unknown as Problem;
  }
  const message = String(answer["message"] ?? `HTTP status ${status}`);
  return { ...answer, message, code: "unexpected_error" } as unknown as Problem;
}

const sleep = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

// Not crypto.randomUUID, which pages without TLS do not have.
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
