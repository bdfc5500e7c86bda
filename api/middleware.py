"""Handling of every request: its id, limits, HEAD and OPTIONS, the log line, unexpected errors.

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
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.audit import Refusals
from api.error_codes import ErrorCode
from api.errors import ApiError, problem, server_error
from api.http_rules import MAX_FIELD_BYTES
from api.methods import allow
from telemetry import tracing

logger = structlog.stdlib.get_logger("api.requests")

REQUEST_ID_HEADER = b"x-request-id"
TRACE_ID_HEADER = b"x-trace-id"  # a header, because the contract fixes the bodies of errors
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
REFUSAL_KEY = "cart.refusal"
"""In the scope of a request that the server refuses before any route: the `Answer`."""
CONTEXT_KEY = "cart.context"
"""In the scope of each request: its `RequestContext`."""
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
    """The state of one request: `headers` are added to its response, `fields` to its log line.

    `is_stream`: the response lasts as long as the client stays.
    """

    request_id: str
    started: float
    status: int = 0
    is_head: bool = False
    is_stream: bool = False
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
    context: RequestContext = connection.scope[CONTEXT_KEY]
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
        given_id, length, largest = _headers(scope)
        context = RequestContext(given_id or uuid4().hex, time.perf_counter())
        context.headers += ((REQUEST_ID_HEADER, context.request_id.encode()), *_SECURITY)
        scope[CONTEXT_KEY] = context
        traced = tracing.ids()
        if traced is not None:
            context.headers.append((TRACE_ID_HEADER, traced[0].encode()))
        method = scope["method"]
        context.is_head = method == "HEAD"
        # HEAD is GET without the content (RFC 9110, 9.3.2).
        routed = scope if method != "HEAD" else {**scope, "method": "GET"}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A plain int: OpenTelemetry would make two series of `200` and `HTTPStatus.OK`.
                context.status = message["status"] = int(message["status"])
                message["headers"] = [*message.get("headers", ()), *context.headers]
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        context.bind(requestId=context.request_id)
        try:
            self._check(scope, length, largest)
            if method == "OPTIONS":
                await _options(scope)(scope, receive, send_with_headers)
            else:
                limited = receive if method in _READS else self._limited(receive)
                await self._app(routed, limited, send_with_headers)
        except Exception as error:
            answer = error.answer if isinstance(error, ApiError) else server_error()
            if not isinstance(error, ApiError):  # an ApiError was raised outside the routes
                logger.exception("request_failed", message="Request failed unexpectedly")
            if context.status:
                raise  # the response has begun; the server closes the connection
            await answer.response()(scope, receive, send_with_headers)
        finally:
            _log(routed, method, context)
            self._refusals.note(
                routed,
                context.status,
                route=getattr(routed.get("route"), "path", None),
                reason=context.fields.get("reason"),
            )
            structlog.contextvars.reset_contextvars(**context.bound)

    def _check(self, scope: Scope, length: int, largest: int) -> None:
        """Raises `ApiError` for a request that no route should see."""
        if REFUSAL_KEY in scope:
            raise ApiError(scope[REFUSAL_KEY])
        if largest > MAX_FIELD_BYTES:  # for servers other than `api.http_protocol`
            message = f"A header field is larger than {MAX_FIELD_BYTES} bytes"
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ApiError(problem(status, message, code=ErrorCode.HEADER_FIELDS_TOO_LARGE))
        if length > self._limit:
            raise self._too_large()
        # An encoded slash divides no path (RFC 3986, 2.2), and no id has one. Taken as a slash, it
        # would lead to routes that a proxy in front of the service closes by their paths.
        if b"%2f" in scope.get("raw_path", b"").lower():
            raise ApiError(problem(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_FOUND.phrase))

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
        return ApiError(problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, limit=self._limit))


def _options(scope: Scope) -> Response:
    """204 with the methods of the path, without a token: the OpenAPI document has them too."""
    allowed = allow(scope)
    if not allowed:
        raise ApiError(problem(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_FOUND.phrase))
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Allow": allowed})


def _headers(scope: Scope) -> tuple[str | None, int, int]:
    """The client's request id if it is valid, the Content-Length, the bytes of the largest field.

    Without a Content-Length it is 0.
    """
    request_id, length, largest = None, 0, 0
    for name, value in scope["headers"]:
        largest = max(largest, len(value))
        if name == REQUEST_ID_HEADER and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"content-length" and value.isdigit():
            length = int(value[:20])
    return request_id, length, largest


def _log(scope: Scope, method: str, context: RequestContext) -> None:
    mutating = method not in _READS
    is_refusal = REFUSAL_KEY in scope
    is_fault = context.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not is_refusal
    if is_fault and not scope["path"].startswith(_HEALTH):
        level = logging.ERROR
    else:
        refused = is_refusal or context.status == HTTPStatus.UNAUTHORIZED
        level = logging.INFO if mutating or refused else logging.DEBUG
    if not logger.isEnabledFor(level):
        return
    route = scope.get("route")
    logger.log(
        level,
        context.event,
        message=context.message,
        method=method,
        route=getattr(route, "path", None),
        status=context.status,
        durationMs=round((time.perf_counter() - context.started) * 1000, 1),
        **context.fields,
    )
