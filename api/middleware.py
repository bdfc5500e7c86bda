"""Handling of every request: its id, the body limit, the log line, unexpected errors.

Pure ASGI in one layer: Starlette's BaseHTTPMiddleware costs a task and two streams per request.
"""

import logging
import re
import time
from contextvars import Token
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.audit import Refusals
from api.errors import ApiError, problem, server_error
from telemetry import tracing

logger = structlog.stdlib.get_logger("api.requests")

REQUEST_ID_HEADER = b"x-request-id"
TRACE_ID_HEADER = b"x-trace-id"  # a header, because the contract fixes the bodies of errors
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_SCOPE_KEY = "cart.context"
_READS = ("GET", "HEAD", "OPTIONS")
_HEALTH = "/health"
# For responses that are opened in a browser (OWASP, REST Security Cheat Sheet).
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


@dataclass(slots=True)
class RequestContext:
    """The state of one request: `headers` are added to its response, `fields` to its log line."""

    request_id: str
    started: float
    status: int = 0
    message: str = "Request finished"
    event: str = "request_finished"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    bound: dict[str, Token[Any]] = field(default_factory=dict)

    def bind(self, **ids: str | None) -> None:
        """Adds ids to all further log lines of the request."""
        # A name that is bound again is reset to what it was before the request.
        self.bound = {**structlog.contextvars.bind_contextvars(**ids), **self.bound}

    def done(self, event: str, message: str, **fields: Any) -> None:
        """Sets the event, message and fields of the request's log line."""
        self.event = event
        self.message = message
        self.fields |= fields


def context_of(connection: HTTPConnection) -> RequestContext:
    """The context of a request."""
    context: RequestContext = connection.scope[_SCOPE_KEY]
    return context


class RequestMiddleware:
    """Wraps the routes and the error handlers; every response passes through it."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._limit = max_body_bytes
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given_id, length = _headers(scope)
        context = RequestContext(given_id or uuid4().hex, time.perf_counter())
        context.headers += ((REQUEST_ID_HEADER, context.request_id.encode()), *_SECURITY)
        scope[_SCOPE_KEY] = context
        traced = tracing.ids()
        if traced is not None:
            context.headers.append((TRACE_ID_HEADER, traced[0].encode()))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A plain int: OpenTelemetry would make two series of `200` and `HTTPStatus.OK`.
                context.status = message["status"] = int(message["status"])
                message["headers"] = [*message.get("headers", ()), *context.headers]
            await send(message)

        context.bind(requestId=context.request_id)
        try:
            if length > self._limit:
                raise self._too_large()
            limited = receive if scope["method"] in _READS else self._limited(receive)
            await self._app(scope, limited, send_with_headers)
        except Exception as error:
            answer = error.answer if isinstance(error, ApiError) else server_error()
            if not isinstance(error, ApiError):  # an ApiError was raised outside the routes
                logger.exception("request_failed", message="Request failed unexpectedly")
            if context.status:
                raise  # the response has begun; the server closes the connection
            await answer.response()(scope, receive, send_with_headers)
        finally:
            _log(scope, context)
            self._refusals.note(
                scope,
                context.status,
                route=getattr(scope.get("route"), "path", None),
                reason=context.fields.get("reason"),
            )
            structlog.contextvars.reset_contextvars(**context.bound)

    def _limited(self, receive: Receive) -> Receive:
        """Enforces the limit while the body is read, regardless of Content-Length."""
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> ApiError:
        message = f"Request body is larger than {self._limit} bytes"
        return ApiError(problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message))


def _headers(scope: Scope) -> tuple[str | None, int]:
    """The client's request id if it is valid, and the Content-Length in bytes (else 0)."""
    request_id, length = None, 0
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"content-length" and value.isdigit():
            length = int(value[:20])
    return request_id, length


def _log(scope: Scope, context: RequestContext) -> None:
    mutating = scope["method"] not in _READS
    if context.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not scope["path"].startswith(_HEALTH):
        level = logging.ERROR
    else:
        refused = context.status == HTTPStatus.UNAUTHORIZED
        level = logging.INFO if mutating or refused else logging.DEBUG
    if not logger.isEnabledFor(level):
        return
    route = scope.get("route")
    logger.log(
        level,
        context.event,
        message=context.message,
        method=scope["method"],
        route=getattr(route, "path", None),
        status=context.status,
        durationMs=round((time.perf_counter() - context.started) * 1000, 1),
        **context.fields,
    )
