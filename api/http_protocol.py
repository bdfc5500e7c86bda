"""HTTP/1.1 connections: Uvicorn's httptools protocol, with limits and the rules it leaves out.

- Limits: bytes and number of header fields, length of the target, bytes and time of a request,
  connections of a process. A request over a limit gets an answer like any other, by the application
  (`REFUSAL_KEY` in its scope), and then its connection is closed.
- An offer to upgrade (h2c, WebSocket) is ignored (RFC 9110, 7.8). llhttp stops at such a request,
  without its body, so the request is parsed again without the offer.
- Trailer fields are dropped: none of ours is defined to be one (RFC 9110, 6.5.1).
- A client may close its sending side and still get its response. One that does not read for as long
  as a connection may be idle is cut off.

`python -m api` serves with it. `uvicorn api.app:app` has the protocol and limits of Uvicorn.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api import http_rules as rules
from api.error_codes import ErrorCode
from api.errors import Answer
from api.http_rules import RefusedRequestError
from api.middleware import CONTEXT_KEY, REFUSAL_KEY

MAX_PIPELINED = 16
# Framing of a chunked body may be larger than the body, up to this factor.
_CHUNK_OVERHEAD = 8
# After a refusal, input is discarded for a while: closing at once would reset the connection, and
# the client could lose the response (RFC 9112, 9.6).
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server. `waiting` has the connections without a complete request, the one that
    waits for the longest first."""

    header_bytes: int
    body_bytes: int
    request_seconds: float
    connections: int
    waiting: dict["LimitedProtocol", None] = field(default_factory=dict)

    @property
    def request_bytes(self) -> int:
        """The most bytes that one request may have on the wire."""
        return self.header_bytes + self.body_bytes * _CHUNK_OVERHEAD


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *given: Any, limits: HttpLimits, **named: Any) -> None:
        super().__init__(*given, **named)
        self._limits = limits
        self._served: RequestResponseCycle | None = None  # the latest that the application has
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._refused = False
        self._in_message = self._has_head = self._ignores_offer = False
        self._received = 0  # bytes since the latest complete request, or since the refusal
        self._field_bytes = self._fields = 0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections and not self._make_room():
            self._refuse(rules.too_many_connections())
            return
        self._wait()

    def _make_room(self) -> bool:
        """Closes the connection that has been without a complete request for the longest."""
        oldest = next(iter(self._limits.waiting), None)
        if oldest is None:
            return False
        del self._limits.waiting[oldest]
        oldest.transport.abort()
        return True

    def _wait(self) -> None:
        """The connection has no request under way."""
        self._limits.waiting[self] = None
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():  # the client does not read
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.waiting.pop(self, None)
        self._stop_deadline()
        self.resume_writing()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keeps the connection until all complete requests are answered.

        But not for a response that lasts as long as the client stays.
        """
        if not self._is_serving() or (self._in_message and not self._refused):
            return None
        if self._is_streaming():
            return None
        self.cycle.keep_alive = False
        return True

    def _is_serving(self) -> bool:
        return self._served is not None and not self._served.response_complete

    def _is_streaming(self) -> bool:
        context: Any = None if self._served is None else self._served.scope.get(CONTEXT_KEY)
        return context is not None and bool(context.is_stream)

    # Input

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._received += len(data)
        if self._refused:
            if self._received > _LINGER_BYTES:
                self.transport.close()
            return
        try:
            self._feed(data)
            self._check_received()
        except RefusedRequestError as refused:
            self._refuse(refused.answer)
        except httptools.HttpParserError as error:
            cause = error.__context__
            # Whether the request that was not understood begins with `data`.
            is_first = self._received == len(data)
            self._refuse(
                cause.answer
                if isinstance(cause, RefusedRequestError)
                else rules.malformed(error, data if is_first else b"")
            )
        else:
            if (self._received or self._in_message) and self._deadline is None:
                self._deadline = self.loop.call_later(
                    self._limits.request_seconds, self._request_timed_out
                )

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            kept = value
            if name == b"connection":
                kept = b", ".join(
                    option
                    for option in map(bytes.strip, value.split(b","))
                    if option.lower() not in {b"upgrade", b"http2-settings"}
                )
            if name not in {b"upgrade", b"http2-settings"}:
                lines.append(b"%b: %b" % (name, kept))
        return b"\r\n".join([*lines, b"", b""])

    def _check_received(self) -> None:
        """Checks the limits for input that the parser has not handed on yet."""
        if not self._has_head:
            rules.check_fields(0, 0, self._received, limit=self._limits.header_bytes)
        rules.check_size(self._received, self._limits.request_bytes)

    def _request_timed_out(self) -> None:
        self._deadline = None
        if self._is_serving() and self._served is not self.cycle:
            # Input is paused while the requests before this one are served.
            self._deadline = self.loop.call_later(
                self._limits.request_seconds, self._request_timed_out
            )
        elif self._in_message:
            self._refuse(rules.too_slow(self._limits.request_seconds))
        else:  # empty lines only
            self.transport.close()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = True
        self._has_head = self._ignores_offer = False
        self._field_bytes = self._fields = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        rules.check_target(self.url)

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value) + len(b": \r\n")
        self._fields += 1
        self._field_bytes += size
        limit = self._limits.header_bytes
        rules.check_fields(self._fields, size, self._field_bytes, limit=limit)
        if not self._has_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                message = "This server is not a proxy: CONNECT is not implemented"
                raise RefusedRequestError(
                    HTTPStatus.NOT_IMPLEMENTED, message, ErrorCode.METHOD_NOT_IMPLEMENTED
                )
            self._ignores_offer = True
            return
        version = self.parser.get_http_version()
        rules.check_framing(self.headers, version)
        if version == "1.0":  # its clients take 100 for the response (RFC 9110, 10.1.1)
            self.expect_100_continue = False
        if len(self.pipeline) >= MAX_PIPELINED:
            message = f"More than {MAX_PIPELINED} requests were sent ahead of their responses"
            raise RefusedRequestError(
                HTTPStatus.BAD_REQUEST, message, ErrorCode.TOO_MANY_PIPELINED_REQUESTS
            )
        self.url = rules.with_path(self.url)
        super().on_headers_complete()
        self._has_head = True

    def on_message_complete(self) -> None:
        if self._ignores_offer:
            return
        self._in_message = self._has_head = False
        self._received = 0
        self._stop_deadline()
        super().on_message_complete()
        if self.cycle.response_complete:  # before the body had come
            self._wait()
        else:
            self._limits.waiting.pop(self, None)

    # Responses

    def pause_writing(self) -> None:
        """The client reads slowly, or not at all."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._served = cycle
        if cycle.waiting_for_100_continue:
            app = _closing_if_unread(app, cycle)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._refused and not self._is_serving() and not self.transport.is_closing():
            self._wait()

    def _refuse(self, answer: Answer) -> None:
        """Answers the request that is being read, after those before it, and closes."""
        self._refused = True
        self._received = 0
        self._stop_deadline()
        self._limits.waiting.pop(self, None)
        unread = self.cycle if self._has_head else None
        if unread is not None and unread.response_started:
            (self.linger if unread.response_complete else self.transport.close)()
            return
        if unread is not None:
            unread.disconnected = True  # its own response, if any, is dropped
            unread.message_event.set()
        cycle = self._refusal(answer)
        waiting = [item for item in self.pipeline if item[0] is not unread]
        self.pipeline.clear()
        self.pipeline.extend(waiting)
        busy = self._is_serving() and self._served is not unread
        self.cycle = cycle
        if busy:
            self.pipeline.appendleft((cycle, self.app))
        else:
            self._start_asgi_task(cycle, self.app)
        self.flow.resume_reading()

    def _refusal(self, answer: Answer) -> RequestResponseCycle:
        super().on_message_begin()
        # What the client asked for may be unknown.
        unknown = {"method": "GET", "path": "/", "raw_path": b"/", "query_string": b""}
        scope: Any = {**self.scope, **unknown, REFUSAL_KEY: answer}
        return RequestResponseCycle(
            scope=scope,
            transport=_Lingering(self),  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=lambda: None,
        )

    def linger(self) -> None:
        """Ends the connection once the client had time to read the response."""
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._deadline = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


@dataclass(frozen=True, slots=True)
class _Lingering:
    """The transport of a refusal: closing it is graceful."""

    protocol: LimitedProtocol

    def write(self, data: bytes) -> None:
        self.protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self.protocol.transport.is_closing()

    def close(self) -> None:
        self.protocol.linger()


def _closing_if_unread(app: Any, cycle: RequestResponseCycle) -> Any:
    """The application; it closes the connection if it answers without asking for the body.

    A client that expects 100 may then send the body or leave it out (RFC 9110, 10.1.1), so that the
    next bytes could be either.
    """

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def closing(message: Any) -> None:
            if cycle.waiting_for_100_continue and message["type"] == "http.response.start":
                close = (b"connection", b"close")
                message = message | {"headers": [*message.get("headers", ()), close]}
            await send(message)

        await app(scope, receive, closing)

    return wrapped


def limited_protocol(limits: HttpLimits) -> Any:
    """What Uvicorn's `http=` takes."""
    return partial(LimitedProtocol, limits=limits)
