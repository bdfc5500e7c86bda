"""The one place where an outcome, a refusal or a failure becomes a status and a body.

What a saga ended with -> `refusal_answer`, `abort_answer`, `failure_answer`; errors that are raised
-> `add_error_handlers`. An `Answer` is a value: the operation's URL shows the same ones later.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError, TerminatedError

from api.schemas import RULES
from models.errors import DependencyUnavailable, OperationInProgress
from models.messages import Refusal
from models.wire import to_json
from workflows import ids

logger = logging.getLogger(__name__)

RETRY_AFTER = {"Retry-After": "1"}
# What a client can make us say back.
MAX_DETAILS = 50
MAX_NAME = 64
_PRIVATE = {"Cache-Control": "private, no-cache"}

UNAVAILABLE = {
    "inventory_unavailable": "Unable to reserve inventory",
    "mongodb_unavailable": "Cart storage is unavailable; nothing was changed, try again",
    "temporal_unavailable": "Cart operations are unavailable; try again with the same key",
    "redis_unavailable": "Log level cannot be passed on now; try again",
    "deadline": "Cart operation took too long and was undone; try again",
    "operator": "Cart operation was stopped by an operator and undone; try again",
    "cancelled": "Cart operation was cancelled and undone; try again",
    "conflict": "Cart was changed by others all the time; try again",
    "settled": "Cart operation was interrupted and undone; try again",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the exact JSON text of the body, and headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The answer on its way; carts are private and must be asked for again."""
        headers = {**_PRIVATE, **self.headers}
        return Response(self.body, self.status, headers, media_type="application/json")


class ApiError(HTTPException):
    """An answer that is raised. An HTTPException, because FastAPI lets only those through while
    it reads a body."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


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


def unauthorized(message: str) -> ApiError:
    """401 (RFC 6750, section 3)."""
    headers = {"WWW-Authenticate": "Bearer"}
    return ApiError(problem(HTTPStatus.UNAUTHORIZED, message, headers=headers))


# What a saga ended with.


def refusal_answer(operation: str, refusal: Refusal) -> Answer:
    """What the client is told when the business says no."""
    match refusal.code:
        case "insufficient_stock":
            available = refusal.available or 0
            # For an add the contract says 200; elsewhere it is the request that cannot be met.
            adding = operation == ids.ADD_ITEM
            return problem(
                HTTPStatus.OK if adding else HTTPStatus.BAD_REQUEST,
                f"Insufficient stock. Only {available} available.",
                code=refusal.code,
                available=available,
            )
        case "quantity_limit" | "line_limit" | "unit_limit" | "value_limit":
            return invalid(_over_limit(operation, refusal))
        case "idempotency_key_reused":
            return problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "Idempotency key was already used for a different request",
                code=refusal.code,
            )
        case "cart_not_found":
            return problem(HTTPStatus.NOT_FOUND, "Cart not found")
        case "item_not_found" | "nothing_to_change":  # the latter is told to no client
            return problem(HTTPStatus.NOT_FOUND, "Item not found in cart")
        case "precondition_failed":
            message = "Cart has changed: its ETag is none of If-Match"
            return problem(HTTPStatus.PRECONDITION_FAILED, message, code=refusal.code)


def _over_limit(operation: str, refusal: Refusal) -> tuple[str, str]:
    """The field that asks for more than a limit allows, and the limit."""
    limit, now = refusal.limit, refusal.current
    match refusal.code:
        case "line_limit":
            held = f"it already has {now}"
            return "productId", f"Cart must not have more than {limit} products; {held}"
        case "unit_limit":
            held = f"it already holds {now}"
            return "quantity", f"Cart must not hold more than {limit} units; {held}"
        case "value_limit":
            return "quantity", f"Cart must not be worth more than {limit} in all"
        case _:
            in_all = f" in all; the cart already holds {now}" if operation == ids.ADD_ITEM else ""
            return "quantity", f"Quantity must not exceed {limit}{in_all}"


def abort_answer(reason: str | None) -> Answer:
    """503 for an operation that was undone: the same key may try again."""
    message = UNAVAILABLE.get(reason or "", "Cart operation was undone; try again")
    code = None if reason == "inventory_unavailable" else reason
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, message, code=code, headers=RETRY_AFTER)


def failure_answer(error: WorkflowFailureError) -> Answer:
    """For a run that did not complete: stopped from outside (503), or failed (500)."""
    if isinstance(error.cause, CancelledError):
        return abort_answer("cancelled")
    if isinstance(error.cause, TerminatedError):
        message = "Cart operation was stopped; try again with the same key"
        return problem(
            HTTPStatus.SERVICE_UNAVAILABLE, message, code="terminated", headers=RETRY_AFTER
        )
    return server_error()


def server_error() -> Answer:
    """500, which tells nothing about the inside."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error")


# What is raised.


def add_error_handlers(app: FastAPI) -> None:
    """Replaces the framework's own error bodies. What nobody foresaw is `api.middleware`'s."""
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DependencyUnavailable, _unavailable)
    app.add_exception_handler(OperationInProgress, _in_progress)
    app.add_exception_handler(WorkflowFailureError, _workflow_failed)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for it alone)
    if isinstance(error, ApiError):
        return error.answer.response()
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request) or headers.get("Allow", "")
    return problem(error.status_code, error.detail, headers=headers).response()


def _allowed(request: Request) -> str:
    """All methods of the path; the framework names those of the first route that has it."""
    route = getattr(request.scope.get("route"), "path", "")
    return ", ".join(map(str.upper, request.app.openapi()["paths"].get(route, ())))


async def _unavailable(_: Request, error: Exception) -> Response:
    assert isinstance(error, DependencyUnavailable)  # noqa: S101
    logger.warning(
        "Dependency is unavailable",
        extra={
            "event": "request_unavailable",
            "dependency": error.dependency,
            "reason": error.detail,
        },
    )
    return abort_answer(f"{error.dependency}_unavailable").response()


async def _in_progress(_: Request, __: Exception) -> Response:
    message = "Cart operation already in progress"
    return problem(HTTPStatus.CONFLICT, message, headers=RETRY_AFTER).response()


async def _workflow_failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, WorkflowFailureError)  # noqa: S101
    answer = failure_answer(error)
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("Cart operation failed", exc_info=error, extra={"event": "operation_failed"})
    return answer.response()


async def _invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
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
