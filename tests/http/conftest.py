"""The API as `python -m api` serves it, on a free port, with the fakes of `tests.fakes.api`."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from api.__main__ import Server, server_config
from models.outcomes import Outcome
from settings import Settings
from tests.fakes.api import ITEM, URL, FakeApi, cart_of, record_of, result_of, settings_for_tests

REPLY_SECONDS = 10.0


async def until(condition: Callable[[], bool]) -> None:
    """Waits for the server, which runs in the same event loop."""
    async with asyncio.timeout(REPLY_SECONDS):
        while not condition():  # noqa: ASYNC110 - not ours, so there is no event for it
            await asyncio.sleep(0.01)


@dataclass
class Reply:
    """One response as it came."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes

    def header(self, name: str) -> str | None:
        return next((value for other, value in self.headers if other == name.lower()), None)

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Wire:
    """One connection, which sends bytes as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes | str) -> None:
        for part in parts:
            self.writer.write(part.encode() if isinstance(part, str) else part)
        await self.writer.drain()

    async def reply(self, *, head: bool = False) -> Reply:
        """The next response; to a HEAD request with `head`."""
        async with asyncio.timeout(REPLY_SECONDS):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(lines[0].split()[1])
            pairs = [line.split(": ", 1) for line in lines[1:] if line]
            headers = [(name.lower(), value) for name, value in pairs]
            length = next((int(value) for name, value in headers if name == "content-length"), 0)
            no_content = head or status in {100, 204, 304}
            content = b"" if no_content else await self.reader.readexactly(length)
        return Reply(status, headers, content)

    async def is_closed(self, seconds: float = REPLY_SECONDS) -> bool:
        """Whether the server closes the connection in time, without sending more."""
        try:
            async with asyncio.timeout(seconds):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


@dataclass
class Served:
    """The server, and the fakes behind it."""

    api: FakeApi
    port: int
    server: uvicorn.Server
    wires: AsyncExitStack = field(default_factory=AsyncExitStack)
    url: str = URL

    async def wire(self) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port))
        self.wires.callback(wire.writer.close)
        return wire

    async def idle(self) -> None:
        """Lets the server read what was sent, so that the next bytes are another packet."""
        for _ in range(20):
            await asyncio.sleep(0.001)

    async def ask(self, *parts: bytes | str, head: bool = False) -> Reply:
        """The response to bytes on a connection of their own."""
        wire = await self.wire()
        await wire.send(*parts)
        return await wire.reply(head=head)

    def request(
        self,
        method: str = "GET",
        url: str = URL,
        *lines: str,
        body: bytes | None = None,
        token: bool = True,
        version: str = "1.1",
    ) -> bytes:
        """The bytes of a request with these further header lines."""
        head = [f"{method} {url} HTTP/{version}", "Host: cart.example.com", *lines]
        if token:
            head.append(f"Authorization: {self.api.token()['Authorization']}")
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*head, "", ""]).encode("latin-1") + (body or b"")

    def add(self, *lines: str, body: bytes | None = None) -> bytes:
        """The bytes of a request that adds an item."""
        return self.request("POST", URL, *lines, body=body or json.dumps(ITEM).encode())


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Served]:
    """The server while it runs. Adds succeed, and the user has a cart."""
    api = FakeApi(settings)
    _fill(api)
    config = server_config(settings, api.app)
    config.lifespan = "off"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(config, api.app)
        # Not `serve`, which handles signals.
        running = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        served = Served(api, listener.getsockname()[1], server)
        try:
            async with served.wires:
                yield served
        finally:
            server.should_exit = True
            await running


def _fill(api: FakeApi) -> None:
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
    cart = cart_of()
    api.mongo.carts[cart.key] = cart


@pytest.fixture(scope="session")
async def one_server() -> AsyncIterator[Served]:
    async with serving(settings_for_tests(request_seconds=2)) as one:
        yield one


@pytest.fixture
async def served(one_server: Served) -> AsyncIterator[Served]:
    """A server that all tests share, with fakes of the test's own."""
    api = FakeApi(one_server.api.settings, app=one_server.api.app)
    _fill(api)
    served = Served(api, one_server.port, one_server.server)
    async with served.wires:
        yield served
    await until(lambda: not served.server.server_state.connections)
