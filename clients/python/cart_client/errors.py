"""Errors by what a program does about them.

CartError
  InvalidRequest        the request breaks a rule: `problem.details`
  Unauthorized          no valid token
  Forbidden             the token does not allow it
  NotFound              there is no such cart, item or operation
  InsufficientStock     too few units: `available`, or `lines` of an operation on several
  PreconditionFailed    the cart is not the one of `if_match`
  CheckedOut            the cart is checked out, and cannot be changed
  Unavailable           no answer, or a 5xx: a change may have happened
"""

from cart_client.models import MissingLine, Problem


class CartError(Exception):
    """An error of the service. `problem` is its body, and `status` 0 where there was no answer."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.message)
        self.status = status
        self.problem = problem

    @property
    def code(self) -> str:
        """The code for programs, such as `cart_not_found`."""
        return str(getattr(self.problem.code, "value", self.problem.code))


class InvalidRequest(CartError):
    """The request breaks a rule; `problem.details` names the fields."""


class Unauthorized(CartError):
    """The token is missing, expired or invalid."""


class Forbidden(CartError):
    """The token does not allow it."""


class NotFound(CartError):
    """There is no such cart, item or operation."""


class InsufficientStock(CartError):
    """There are too few units. Nothing was changed."""

    @property
    def available(self) -> int | None:
        """How many units can be had; None if that is not known, or for several products."""
        return self.problem.available

    @property
    def lines(self) -> list[MissingLine]:
        """What each product lacks, of an operation on several."""
        return list(self.problem.lines or ())


class PreconditionFailed(CartError):
    """The cart has changed since it was read."""


class CheckedOut(CartError):
    """The cart is checked out, and cannot be changed."""


class Unavailable(CartError):
    """The service did not answer, or could not. A change may have happened: repeat it with its
    key."""

    def __init__(self, status: int, problem: Problem, key: str | None) -> None:
        super().__init__(status, problem)
        self.key = key


_BY_CODE: dict[str, type[CartError]] = {
    "insufficient_stock": InsufficientStock,
    "cart_checked_out": CheckedOut,
}
_BY_STATUS: dict[int, type[CartError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    412: PreconditionFailed,
    422: InvalidRequest,
}
SERVER_ERROR = 500


def error_of(status: int, problem: Problem, key: str | None) -> CartError:
    """The error that an answer means."""
    if status == 0 or status >= SERVER_ERROR:
        return Unavailable(status, problem, key)
    code = str(getattr(problem.code, "value", problem.code))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, CartError)
    return kind(status, problem)
