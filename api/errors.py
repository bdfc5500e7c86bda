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

from api.methods import allow
from api.schemas import RULES
from models.errors import DependencyUnavailable, OperationInProgress
from models.operations import AddItem
from models.outcomes import AbortReason, Refusal, RefusalCode
from models.wire import to_json

logger = structlog.stdlib.get_logger(__name__)

RETRY_AFTER = {"Retry-After": "1"}
# What a client can make us say back.
MAX_DETAILS = 50
MAX_NAME = 64
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
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    """`{"message", "code"?, …}`."""
    body: dict[str, Any] = {"message": message}
    if code is not None:
        body["code"] = code
    return Answer(status, to_json(body | more), headers or {})


def invalid(*details: tuple[str, str]) -> Answer:
    """400 that names each field and the rule it breaks."""
    rows = [{"field": name, "message": message} for name, message in details]
    return Answer(HTTPStatus.BAD_REQUEST, to_json({"error": "Validation failed", "details": rows}))


def not_found(what: str) -> ApiError:
    """404: it does not exist, or not for this user."""
    return ApiError(problem(HTTPStatus.NOT_FOUND, f"{what} not found"))


def forbidden(where: str = "this store") -> ApiError:
    """403: known, and not allowed."""
    return ApiError(problem(HTTPStatus.FORBIDDEN, f"Administrators of {where} only"))


def unauthorized(message: str, *, reason: str) -> ApiError:
    """401 (RFC 6750, section 3). Its message does not tell a stranger more than it must."""
    headers = {"WWW-Authenticate": "Bearer"}
    return ApiError(problem(HTTPStatus.UNAUTHORIZED, message, headers=headers), reason=reason)


# How a saga ended.


@dataclass(frozen=True, slots=True)
class _Refusal:
    """How a refusal is answered; with a `field`, as a validation error of that field.

    The message may use the refusal's numbers: `{available}`, `{current}`, `{limit}`.
    """

    message: str
    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    field: str | None = None
    shows_code: bool = True


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
    RefusalCode.CART_NOT_FOUND: _Refusal("Cart not found", HTTPStatus.NOT_FOUND, shows_code=False),
    RefusalCode.ITEM_NOT_FOUND: _Refusal(
        "Item not found in cart", HTTPStatus.NOT_FOUND, shows_code=False
    ),
    RefusalCode.PRECONDITION_FAILED: _Refusal(
        "Cart has changed: its ETag is none of If-Match", HTTPStatus.PRECONDITION_FAILED
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

STOCK_NOT_TOLD = "Insufficient stock."
"""The message where the inventory does not tell how many units there are."""

ABORTS = {
    AbortReason.INVENTORY_UNAVAILABLE: "Unable to reserve inventory",
    AbortReason.MONGODB_UNAVAILABLE: "Cart storage is unavailable; nothing was changed, try again",
    AbortReason.REDIS_UNAVAILABLE: "Log level could not be set; try again",
    AbortReason.DEADLINE: "Cart operation took too long and was undone; try again",
    AbortReason.OPERATOR: "Cart operation was stopped by an operator and undone; try again",
    AbortReason.CANCELLED: "Cart operation was cancelled and undone; try again",
    AbortReason.CONFLICT: "The cart kept changing; try again",
    AbortReason.RESET: "Cart operation was stopped by an operator and undone; try again",
}
TEMPORAL_UNAVAILABLE = "Cart operations are unavailable; try again with the same key"
UNDONE = "Cart operation was undone; try again"


def refusal_answer(operation: str, refusal: Refusal) -> Answer:
    """The answer to an operation that a business rule refused."""
    rule = (_REFUSALS_OF_AN_ADD if operation == AddItem.name else _REFUSALS)[refusal.code]
    numbers: dict[str, Any] = {}
    template = rule.message
    if refusal.code is RefusalCode.INSUFFICIENT_STOCK:
        numbers = {"available": refusal.available}
        if refusal.available is None:
            template = STOCK_NOT_TOLD
    message = template.format(
        available=refusal.available, current=refusal.current, limit=refusal.limit
    )
    if rule.field is not None:
        return invalid((rule.field, message))
    code = refusal.code.value if rule.shows_code else None
    return problem(rule.status, message, code=code, **numbers)


def abort_answer(reason: AbortReason | None) -> Answer:
    """503 for an operation that was undone: the same key may try again."""
    message = ABORTS.get(reason, UNDONE) if reason else UNDONE
    # The contract's answer for the inventory has no code.
    shown = None if reason in {None, AbortReason.INVENTORY_UNAVAILABLE} else reason
    return _unavailable_answer(message, shown.value if shown else None)


def _unavailable_answer(message: str, code: str | None) -> Answer:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, message, code=code, headers=RETRY_AFTER)


def failure_answer(error: WorkflowFailureError) -> Answer:
    """The answer to a run that did not complete: stopped from outside (503), or failed (500)."""
    if isinstance(error.cause, CancelledError):
        return abort_answer(AbortReason.CANCELLED)
    if isinstance(error.cause, TerminatedError):
        message = "Cart operation was stopped; try again with the same key"
        return _unavailable_answer(message, "terminated")
    return server_error()


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
    code = f"{error.dependency}_unavailable"
    if code in {*AbortReason}:
        return abort_answer(AbortReason(code)).response()
    message = TEMPORAL_UNAVAILABLE if error.dependency == "temporal" else UNDONE
    return _unavailable_answer(message, code).response()


async def _in_progress(_: Request, __: OperationInProgress) -> Response:
    message = "Cart operation already in progress"
    return problem(HTTPStatus.CONFLICT, message, headers=RETRY_AFTER).response()


async def _workflow_failed(_: Request, error: WorkflowFailureError) -> Response:
    answer = failure_answer(error)
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("operation_failed", message="Cart operation failed", exc_info=error)
    return answer.response()


async def _invalid_request(_: Request, error: RequestValidationError) -> Response:
    details = dict.fromkeys(_detail(item, error.body) for item in error.errors()[:MAX_DETAILS])
    return invalid(*details).response()


def _detail(item: dict[str, Any], body: Any) -> tuple[str, str]:
    """A field's JSON name and its rule, in words."""
    where, *path = item["loc"]
    if not path:
        return str(where), f"{label(str(where))} is required"
    name = str(path[0])[:MAX_NAME]
    kind = item["type"]
    if kind == "in_words":
        return name, str(item["msg"])
    if kind == "extra_forbidden":
        return name, "Unknown field"
    if kind == "missing":
        return name, f"{label(name)} is required"
    if kind == "int_type" and where == "body":
        return name, f"{label(name)} must be an integer"
    rule = RULES.get(name) or item["msg"]
    # A single value that we have made a list of has no index for the client.
    given = body.get(name) if isinstance(body, dict) else None
    indices = [f"[{part}]" for part in path[1:] if isinstance(part, int)]
    shown = name + "".join(indices) if isinstance(given, list) else name
    return shown, f"{label(name)} {rule}"


def label(name: str) -> str:
    """A field's name at the start of a sentence: `quantity` -> `Quantity`, `productId` stays."""
    return name.capitalize() if name.islower() else name
