"""What surrounds every request: its id, the limit of its body, its log line, the last resort.

Pure ASGI, one layer: Starlette's BaseHTTPMiddleware costs a task and two streams for each request.
"""

import logging
import re
import time
from collections.abc import Mapping
from contextvars import Token
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Answer, ApiError, problem, server_error
from telemetry import tracing

logger = logging.getLogger("api.requests")

REQUEST_ID_HEADER = b"x-request-id"
TRACE_ID_HEADER = b"x-trace-id"  # in a header: the errors' bodies are the contract's
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_SCOPE_KEY = "cart.trace"
_READS = ("GET", "HEAD", "OPTIONS")
_HEALTH = "/health"
# For browsers that are shown an answer after all (OWASP, REST Security Cheat Sheet).
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


@dataclass(slots=True)
class Trace:
    """One request on its way: `headers` are put on its answer, `fields` on its log line."""

    request_id: str
    started: float
    status: int = 0
    message: str = "Request finished"
    event: str = "request_finished"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    bound: dict[str, Token[Any]] = field(default_factory=dict)

    def bind(self, **ids: str | None) -> None:
        """Puts ids on all log lines of the request from now on; each once."""
        self.bound |= structlog.contextvars.bind_contextvars(**ids)

    def done(self, event: str, message: str, **fields: Any) -> None:
        """Says on the log line what the request has brought about."""
        self.event = event
        self.message = message
        self.fields |= fields


def trace_of(connection: HTTPConnection) -> Trace:
    """The trace of a request."""
    trace: Trace = connection.scope[_SCOPE_KEY]
    return trace


class RequestMiddleware:
    """The outermost layer of ours; everything that is answered passes through it."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given_id, length = _headers(scope)
        trace = Trace(given_id or uuid4().hex, time.perf_counter())
        trace.headers += ((REQUEST_ID_HEADER, trace.request_id.encode()), *_SECURITY)
        scope[_SCOPE_KEY] = trace
        traced = tracing.ids()
        if traced is not None:
            trace.headers.append((TRACE_ID_HEADER, traced[0].encode()))

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Plain: OpenTelemetry makes a series of `200` and another one of `HTTPStatus.OK`.
                trace.status = message["status"] = int(message["status"])
                message["headers"] = [*message.get("headers", ()), *trace.headers]
            await send(message)

        trace.bind(requestId=trace.request_id)
        try:
            if length > self._limit:
                await _respond(self._too_large(), scope, receive, send_traced)
            else:
                limited = receive if scope["method"] in _READS else self._limited(receive)
                await self._app(scope, limited, send_traced)
        except ApiError as error:  # raised outside of the routes
            if trace.status:
                raise
            await _respond(error.answer, scope, receive, send_traced)
        except Exception:
            logger.exception("Request failed unexpectedly", extra={"event": "request_failed"})
            if trace.status:
                raise  # too late for an answer; the server closes the connection
            await _respond(server_error(), scope, receive, send_traced)
        finally:
            _log(scope, trace)
            structlog.contextvars.reset_contextvars(**trace.bound)

    def _limited(self, receive: Receive) -> Receive:
        """Counts the body as it is read, whatever its announced length."""
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise ApiError(self._too_large())
            return message

        return counted

    def _too_large(self) -> Answer:
        message = f"Request body is larger than {self._limit} bytes"
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)


def _headers(scope: Scope) -> tuple[str | None, int]:
    """The request id that was given, if it is usable, and the announced length of the body."""
    request_id, length = None, 0
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"content-length" and value.isdigit():
            length = int(value[:20])
    return request_id, length


async def _respond(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    await answer.response()(scope, receive, send)


def _log(scope: Scope, trace: Trace) -> None:
    mutating = scope["method"] not in _READS
    if trace.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not scope["path"].startswith(_HEALTH):
        level = logging.ERROR
    else:
        level = logging.INFO if mutating else logging.DEBUG
    if not logger.isEnabledFor(level):
        return
    route = scope.get("route")
    fields: Mapping[str, Any] = {
        "event": trace.event,
        "method": scope["method"],
        "route": getattr(route, "path", None),
        "status": trace.status,
        "durationMs": round((time.perf_counter() - trace.started) * 1000, 1),
        **trace.fields,
    }
    logger.log(level, trace.message, extra=fields)
