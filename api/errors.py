"""Maps refusals, aborts and errors to a status and a body, in one place.

The end of a saga maps by `refusal_answer`, `abort_answer` and `failure_answer`; errors that are
raised map by `add_error_handlers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError, TerminatedError

from api.error_codes import ErrorCode, code_of
from api.field_problems import field_problem
from api.methods import allow
from api.schemas import FieldProblem, MissingLine
from models.errors import DependencyUnavailable, OperationInProgress
from models.operations import AddItem, ApplyBatch, UpdateQuantity
from models.outcomes import AbortReason, Refusal, RefusalCode
from models.wire import to_json

logger = structlog.stdlib.get_logger(__name__)

RETRY_AFTER = {"Retry-After": "1"}
MAX_DETAILS = 50
"""The most broken rules that an answer lists."""
# Carts are personal data: no cache keeps them, and clients revalidate their own copy by ETag.
PRIVATE = {"Cache-Control": "private, no-store"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the exact JSON text of the body, and headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The HTTP response, which no cache may store."""
        headers = {**PRIVATE, **self.headers}
        return Response(self.body, self.status, headers, media_type="application/json")


class ApiError(HTTPException):
    """An answer that is raised. An HTTPException, because FastAPI lets only those through while
    it reads a body. `reason` is for the log alone."""

    def __init__(self, answer: Answer, *, reason: str | None = None) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.reason = reason


def problem(
    status: int,
    message: str,
    *,
    code: ErrorCode | None = None,
    headers: Mapping[str, str] | None = None,
    **parameters: Any,
) -> Answer:
    """`{"message", "code", …}` (`api.schemas.Problem`).

    Without `code` it is the status' own one. `parameters` have their JSON names.
    """
    body = {"message": message, "code": ErrorCode(code or code_of(status)).value}
    return Answer(status, to_json(body | parameters), headers or {})


def invalid(*details: FieldProblem) -> Answer:
    """400 that names each field and the rule it breaks."""
    body = {
        "error": "Validation failed",
        "code": ErrorCode.VALIDATION_FAILED.value,
        "message": details[0].message,
        "details": [one.model_dump(by_alias=True, exclude_none=True) for one in details],
    }
    return Answer(HTTPStatus.BAD_REQUEST, to_json(body))


_NOT_FOUND = {
    ErrorCode.CART_NOT_FOUND: "Cart not found",
    ErrorCode.ITEM_NOT_FOUND: "Item not found in cart",
    ErrorCode.OPERATION_NOT_FOUND: "Operation not found",
    ErrorCode.CHECKOUT_NOT_FOUND: "Cart is not checked out",
    ErrorCode.GUESTS_OFF: "This service has no guests: GUEST_TOKEN_SECRETS is not set",
}


def not_found(code: ErrorCode) -> ApiError:
    """404: it does not exist, or not for this user."""
    return ApiError(problem(HTTPStatus.NOT_FOUND, _NOT_FOUND[code], code=code))


def unknown_product(product_id: str) -> ApiError:
    """400: the product service does not have the product in this store."""
    message = "This product is not known in this store"
    code = ErrorCode.UNKNOWN_PRODUCT
    return ApiError(problem(HTTPStatus.BAD_REQUEST, message, code=code, productId=product_id))


def settings_changed() -> Answer:
    """412: the settings are not those that the client has seen."""
    message = "The settings have changed in the meantime; look at them and try again"
    return problem(HTTPStatus.PRECONDITION_FAILED, message)


def forbidden(where: str = "this store") -> ApiError:
    """403: known, and not allowed."""
    return ApiError(problem(HTTPStatus.FORBIDDEN, f"Administrators of {where} only"))


def unauthorized(
    message: str, *, reason: str, code: ErrorCode = ErrorCode.TOKEN_INVALID
) -> ApiError:
    """401 (RFC 6750, section 3). Its message does not tell a stranger more than it must."""
    headers = {"WWW-Authenticate": "Bearer"}
    answer = problem(HTTPStatus.UNAUTHORIZED, message, code=code, headers=headers)
    return ApiError(answer, reason=reason)


# How a saga ended.


@dataclass(frozen=True, slots=True)
class _Refusal:
    """How a refusal is answered; with a `field`, as a validation error of that field.

    The message may use the refusal's fields: `{available}`, `{current}`, `{limit}`, and so on.
    """

    message: str
    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    field: str | None = None


_NO_STOCK = "Insufficient stock. Only {available} available."
_REFUSALS = {
    RefusalCode.INSUFFICIENT_STOCK: _Refusal(_NO_STOCK),
    RefusalCode.PRODUCT_NOT_ACCEPTED: _Refusal("This product cannot be reserved"),
    RefusalCode.QUANTITY_LIMIT: _Refusal("Quantity must not exceed {limit}", field="quantity"),
    RefusalCode.LINE_LIMIT: _Refusal(
        "Cart must not have more than {limit} products; it already has {current}",
        field="productId",
    ),
    RefusalCode.UNIT_LIMIT: _Refusal(
        "Cart must not hold more than {limit} units; it already holds {current}", field="quantity"
    ),
    RefusalCode.VALUE_LIMIT: _Refusal(
        "Cart must not be worth more than {limit} in all", field="quantity"
    ),
    RefusalCode.SIZE_LIMIT: _Refusal(
        "Cart must not be larger than {limit} bytes; with this item it would have {current}",
        field="productDescription",
    ),
    RefusalCode.IDEMPOTENCY_KEY_REUSED: _Refusal(
        "Idempotency key was already used for a different request", HTTPStatus.UNPROCESSABLE_ENTITY
    ),
    RefusalCode.CART_NOT_FOUND: _Refusal(
        _NOT_FOUND[ErrorCode.CART_NOT_FOUND], HTTPStatus.NOT_FOUND
    ),
    RefusalCode.ITEM_NOT_FOUND: _Refusal(
        _NOT_FOUND[ErrorCode.ITEM_NOT_FOUND], HTTPStatus.NOT_FOUND
    ),
    RefusalCode.CART_EMPTY: _Refusal("Cart is empty", HTTPStatus.CONFLICT),
    RefusalCode.CART_CHECKED_OUT: _Refusal(
        "Cart is checked out and cannot be changed until its checkout ends", HTTPStatus.CONFLICT
    ),
    RefusalCode.ORDER_CANCELLED: _Refusal("Order was cancelled", HTTPStatus.CONFLICT),
    RefusalCode.CHECKOUT_NOT_FOUND: _Refusal(
        _NOT_FOUND[ErrorCode.CHECKOUT_NOT_FOUND], HTTPStatus.NOT_FOUND
    ),
    RefusalCode.PRECONDITION_FAILED: _Refusal(
        "The cart has changed in the meantime; look at it and try again",
        HTTPStatus.PRECONDITION_FAILED,
    ),
    RefusalCode.CURRENCY_MISMATCH: _Refusal(
        "The cart has items in {cart_currency}, and prices are in {currency} now; empty the cart "
        "to go on",
        HTTPStatus.CONFLICT,
    ),
}
_REFUSALS_OF_AN_ADD = _REFUSALS | {
    # The contract answers an add with 200.
    RefusalCode.INSUFFICIENT_STOCK: _Refusal(_NO_STOCK, HTTPStatus.OK),
    RefusalCode.QUANTITY_LIMIT: _Refusal(
        "Quantity must not exceed {limit} in all; the cart already holds {current}",
        field="quantity",
    ),
}

_REFUSALS_OF_A_BATCH = _REFUSALS | {
    RefusalCode.INSUFFICIENT_STOCK: _Refusal(_NO_STOCK, HTTPStatus.CONFLICT),
}
_RULES = {AddItem.name: _REFUSALS_OF_AN_ADD, ApplyBatch.name: _REFUSALS_OF_A_BATCH}
"""Operations whose refusals are answered in another way."""

STOCK_NOT_TOLD = "Insufficient stock."
"""The message without a number of units: the inventory does not tell it, or each line has one."""

ABORTS = {
    AbortReason.INVENTORY_UNAVAILABLE: "Unable to reserve inventory",
    AbortReason.MONGODB_UNAVAILABLE: "Carts are unavailable at the moment; try again",
    AbortReason.REDIS_UNAVAILABLE: "The log level could not be set; try again",
    AbortReason.DEADLINE: "This took too long and was undone; try again",
    AbortReason.OPERATOR: "This was stopped and undone; try again",
    AbortReason.CANCELLED: "This was stopped and undone; try again",
    AbortReason.CONFLICT: "The cart kept changing; try again",
    AbortReason.RESET: "This was stopped and undone; try again",
    AbortReason.TERMINATED: "This was stopped; try again",
}
TEMPORAL_UNAVAILABLE = "Carts cannot be changed at the moment; try again"
PRICES_UNAVAILABLE = "Prices are unavailable at the moment; try again"
UNDONE = "This was undone; try again"


def refusal_answer(operation: str, refusal: Refusal, *, strict: bool = False) -> Answer:
    """The answer to an operation that a business rule refused.

    `strict` is the client's preference (RFC 7240, 4.4) for an error status where the contract has
    200.
    """
    if refusal.lines:
        return problem(
            HTTPStatus.CONFLICT,
            STOCK_NOT_TOLD,
            code=ErrorCode(refusal.code),
            lines=[
                MissingLine(product_id=one.product_id, wanted=one.wanted, available=one.available)
                for one in refusal.lines
            ],
        )
    rule = _RULES.get(operation, _REFUSALS)[refusal.code]
    code = ErrorCode(refusal.code)
    is_told = code is not ErrorCode.INSUFFICIENT_STOCK or refusal.available is not None
    template = rule.message if is_told else STOCK_NOT_TOLD
    message = template.format(**refusal.model_dump())
    if rule.field is not None:
        current, limit = refusal.current, refusal.limit
        field = _field(operation, rule.field, refusal)
        return invalid(
            FieldProblem(code=code, field=field, message=message, current=current, limit=limit)
        )
    status = HTTPStatus.CONFLICT if strict and rule.status == HTTPStatus.OK else rule.status
    return problem(status, message, code=code, **_parameters(operation, refusal))


def _field(operation: str, name: str, refusal: Refusal) -> str:
    """The field of a request to which a refusal belongs."""
    if refusal.step is not None:
        return f"operations[{refusal.step}].{name}"
    return "operations" if operation == ApplyBatch.name else name


def _parameters(operation: str, refusal: Refusal) -> dict[str, Any]:
    found: dict[str, Any] = {} if refusal.step is None else {"operation": refusal.step}
    match refusal.code:
        case RefusalCode.INSUFFICIENT_STOCK:
            found["available"] = refusal.available
            if operation == UpdateQuantity.name:
                is_known = refusal.available is not None and refusal.current is not None
                known = (refusal.available or 0) + (refusal.current or 0)
                found["maxQuantity"] = known if is_known else None
        case RefusalCode.CURRENCY_MISMATCH:
            found |= {"cartCurrency": refusal.cart_currency, "currency": refusal.currency}
    return found


def abort_answer(reason: AbortReason | None) -> Answer:
    """503 for an operation that was undone: the same key may try again."""
    if reason not in ABORTS:
        return _unavailable_answer(UNDONE, ErrorCode.UNDONE)
    return _unavailable_answer(ABORTS[reason], ErrorCode(reason))


def prices_unavailable() -> Answer:
    """503: the product service does not answer; nothing was started."""
    return _unavailable_answer(PRICES_UNAVAILABLE, ErrorCode.PRODUCT_SERVICE_UNAVAILABLE)


def _unavailable_answer(message: str, code: ErrorCode) -> Answer:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, message, code=code, headers=RETRY_AFTER)


def failure_answer(error: WorkflowFailureError) -> Answer:
    """The answer to a run that did not complete: stopped from outside (503), or failed (500)."""
    if isinstance(error.cause, CancelledError):
        return abort_answer(AbortReason.CANCELLED)
    if isinstance(error.cause, TerminatedError):
        return abort_answer(AbortReason.TERMINATED)
    return server_error()


def in_progress() -> Answer:
    """409: another operation on the cart, or with the same key, is running."""
    message = "Cart operation already in progress"
    code = ErrorCode.OPERATION_IN_PROGRESS
    return problem(HTTPStatus.CONFLICT, message, code=code, headers=RETRY_AFTER)


def server_error() -> Answer:
    """500, without details of the cause."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error")


# Errors that are raised.


def add_error_handlers(app: FastAPI) -> None:
    """Replaces the framework's error bodies. `api.middleware` handles unexpected errors."""
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(DependencyUnavailable)(_unavailable)
    app.exception_handler(OperationInProgress)(_in_progress)
    app.exception_handler(WorkflowFailureError)(_workflow_failed)


async def _http_error(request: Request, error: HTTPException) -> Response:
    if isinstance(error, ApiError):
        return error.answer.response()
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = allow(request.scope)
    return problem(error.status_code, error.detail, headers=headers).response()


async def _unavailable(_: Request, error: DependencyUnavailable) -> Response:
    logger.warning(
        "request_unavailable",
        message="Dependency is unavailable",
        dependency=error.dependency,
        reason=error.detail,
    )
    code = ErrorCode(f"{error.dependency}_unavailable")
    if code in {*AbortReason}:
        return abort_answer(AbortReason(code)).response()
    if code is ErrorCode.PRODUCT_SERVICE_UNAVAILABLE:
        return prices_unavailable().response()
    return _unavailable_answer(TEMPORAL_UNAVAILABLE, code).response()


async def _in_progress(_: Request, __: OperationInProgress) -> Response:
    return in_progress().response()


async def _workflow_failed(_: Request, error: WorkflowFailureError) -> Response:
    answer = failure_answer(error)
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("operation_failed", message="Cart operation failed", exc_info=error)
    return answer.response()


async def _invalid_request(_: Request, error: RequestValidationError) -> Response:
    found = (field_problem(item, error.body) for item in error.errors()[:MAX_DETAILS])
    return invalid(*dict.fromkeys(found)).response()
