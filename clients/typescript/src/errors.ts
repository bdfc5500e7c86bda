// Errors by what a program does about them.

import type { components } from "./api.js";

export type Problem = components["schemas"]["Problem"];

/** An error of the service. `status` is 0 where there was no answer. */
export class CartError extends Error {
  override name = this.constructor.name;

  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.message);
  }

  /** The code for programs, such as `cart_not_found`. */
  get code(): string {
    return this.problem.code;
  }
}

/** The request breaks a rule; `problem.details` names the fields. */
export class InvalidRequest extends CartError {}
/** The token is missing, expired or invalid. */
export class Unauthorized extends CartError {}
/** The token does not allow it. */
export class Forbidden extends CartError {}
/** There is no such cart, item or operation. */
export class NotFound extends CartError {}
/** The cart has changed since it was read. */
export class PreconditionFailed extends CartError {}
/** The cart is checked out, and cannot be changed. */
export class CheckedOut extends CartError {}

/** There are too few units. Nothing was changed. */
export class InsufficientStock extends CartError {
  /** How many units can be had; null if that is not known, or for several products. */
  get available(): number | null {
    return this.problem.available ?? null;
  }

  /** What each product lacks, of an operation on several. */
  get lines(): readonly components["schemas"]["MissingLine"][] {
    return this.problem.lines ?? [];
  }
}

/** The service did not answer, or could not. A change may have happened: repeat it with its key. */
export class Unavailable extends CartError {
  constructor(
    status: number,
    problem: Problem,
    readonly key: string | undefined,
  ) {
    super(status, problem);
  }
}

const byCode: Record<string, typeof CartError> = {
  insufficient_stock: InsufficientStock,
  cart_checked_out: CheckedOut,
};
const byStatus: Record<number, typeof CartError> = {
  400: InvalidRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  412: PreconditionFailed,
  422: InvalidRequest,
};

export function errorOf(status: number, problem: Problem, key: string | undefined): CartError {
  if (status === 0 || status >= 500) return new Unavailable(status, problem, key);
  const kind = byCode[problem.code] ?? byStatus[status] ?? CartError;
  return new kind(status, problem);
}
