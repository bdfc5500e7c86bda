"""The response of a live cart: server-sent events (HTML Living Standard, 9.2), until it ends."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import Response
from starlette.types import Receive, Scope, Send

from adapters.background import cancelled
from api.error_codes import ErrorCode
from api.errors import PRIVATE, Answer
from api.live import NO_CART, LiveCarts, LiveStream
from api.media_types import EVENT_STREAM
from models.errors import DependencyUnavailable
from models.wire import to_json
from telemetry.metrics import LIVE_EVENTS

RETRY_MS = 2000
HEADERS = {
    **PRIVATE,
    "Content-Type": EVENT_STREAM,
    "X-Accel-Buffering": "no",  # nginx would collect events
}
_HEARTBEAT = b":\n\n"
_UNAVAILABLE = {
    "code": ErrorCode.REDIS_UNAVAILABLE.value,
    "message": "Changes are noticed late; get the cart from time to time",
}

ReadCart = Callable[[], Awaitable[tuple[str, Answer] | None]]
"""Reads the cart: its tag and its answer; None without a cart. Raises `DependencyUnavailable`."""


def event(name: str, data: bytes, tag: str | None = None) -> bytes:
    """The text of an event; `data` has no line breaks, which JSON text escapes."""
    LIVE_EVENTS.add(1, {"event": name})
    head = f"id: {tag}\n" if tag is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + data + b"\n\n"


class EventStream(Response):
    """Sends the cart whenever it has a new version. `open_stream` registers the stream.

    Reads are never cancelled: a client that disconnects is noticed beside them.
    """

    def __init__(
        self, live: LiveCarts, open_stream: Callable[[], LiveStream], read: ReadCart, *, head: bool
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._live = live
        self._open_stream = open_stream
        self._read = read
        self._head = head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        if not self._head:
            stream = self._open_stream()
            watcher = asyncio.create_task(_watch(receive, stream))
            try:
                await self._send_events(stream, send)
            finally:
                self._live.close(stream)
                await cancelled(watcher)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_events(self, stream: LiveStream, send: Send) -> None:
        connected = True
        text = f"retry: {RETRY_MS}\n\n".encode()
        while not stream.over:
            if text:
                await send({"type": "http.response.body", "body": text, "more_body": True})
            await stream.woken()
            text = b""
            if stream.changed:
                text += await self._news(stream)
            if stream.connected != connected:
                connected = stream.connected
                text += event("available", b"{}") if connected else _unavailable()
            if stream.beats and not text:
                text = _HEARTBEAT
            stream.beats = False

    async def _news(self, stream: LiveStream) -> bytes:
        """The event of the version that is current, unless the client has it."""
        stream.changed = False
        try:
            found = await self._read()
        except DependencyUnavailable:
            stream.changed = True  # read again at the next tick
            return b""
        tag = found[0] if found else NO_CART
        if tag == stream.sent:
            return b""
        stream.sent = tag
        if found is None:
            return event("cart_deleted", to_json({"storeId": stream.key.store_id}), tag)
        return event("cart", found[1].body, tag)


def _unavailable() -> bytes:
    return event("unavailable", to_json(_UNAVAILABLE))


async def _watch(receive: Receive, stream: LiveStream) -> None:
    """Ends the stream when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end()
