"""Clients of live carts: they read server-sent events as a browser does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

WITHIN_SECONDS = 30.0


@dataclass(frozen=True)
class ServerEvent:
    """An event as a client sees it."""

    name: str
    data: dict[str, Any]
    id: str | None


@dataclass
class LiveCart:
    """An open stream. `retry` is the delay that the server asks for, in milliseconds."""

    response: httpx.Response
    _lines: AsyncIterator[str]
    heartbeats: int = 0
    retry: int | None = None

    async def event(self, within: float = WITHIN_SECONDS) -> ServerEvent | None:
        """The next event; None when the stream has ended. Raises `TimeoutError`."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(within):
            async for line in self._lines:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if line == ":":
                    self.heartbeats += 1
                elif name == "retry":
                    self.retry = int(value)
                elif line:
                    fields[name] = value
                elif "data" in fields:
                    data = json.loads(fields["data"])
                    return ServerEvent(fields["event"], data, fields.get("id"))
        return None

    async def ends(self, within: float = WITHIN_SECONDS) -> bool:
        """Whether the stream ends, as the protocol has it, without a further event."""
        return await self.event(within) is None


@asynccontextmanager
async def live_cart(
    http: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> AsyncIterator[LiveCart]:
    """Follows a cart; `path` is that of the cart."""
    accept = {"Accept": "text/event-stream"}
    async with http.stream("GET", f"{path}/events", headers=accept | headers) as response:
        yield LiveCart(response, response.aiter_lines())
