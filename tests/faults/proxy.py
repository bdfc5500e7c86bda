"""A TCP proxy between a process under test and one server, with faults that a test turns on.

delay     every chunk waits, in both directions
cut       connections are closed (FIN), new ones are closed at once
reset     connections are reset (RST), new ones are reset at once
swallow   requests pass, responses are dropped
stall     connections are accepted and stay open, nothing passes: half-open

With `rules` it refuses or delays single requests, and forwards the others (`partial.rules`).
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Self, TypeGuard

from tests.faults.partial.rules import Conversation, Rule, Verdict

HOST = "127.0.0.1"
CONNECT_SECONDS = 2.0
_CHUNK = 1 << 16
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 seconds


class Mode(StrEnum):
    """How the proxy behaves."""

    PASS = "pass"
    DELAY = "delay"
    CUT = "cut"
    RESET = "reset"
    SWALLOW = "swallow"
    STALL = "stall"


class Proxy:
    """Listens on `port` of this machine and forwards to `upstream_port`.

    `speaks` makes what reads the requests of a connection, which `rules` need.
    """

    def __init__(
        self,
        name: str,
        port: int,
        upstream_port: int,
        speaks: Callable[[], Conversation] | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self.rules: list[Rule] = []
        self.errors: list[BaseException] = []  # of this proxy, not of its peers
        self._speaks = speaks
        self._upstream_port = upstream_port
        self._mode = Mode.PASS
        self._delay = 0.0
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.drop(reset=True)

    def lead_to(self, upstream_port: int) -> None:
        """New connections lead to another server; those that exist stay, as behind a balancer."""
        self._upstream_port = upstream_port

    def drop(self, *, reset: bool) -> None:
        """Ends every connection, by RST or by FIN."""
        for pair in list(self._pairs):
            pair.end(reset=reset)

    @asynccontextmanager
    async def broken(self, mode: Mode, *, delay: float = 0.0) -> AsyncIterator[None]:
        """Misbehaves inside. Afterwards it resets the connections that lost bytes, and forwards."""
        self._mode, self._delay = mode, delay
        if mode in {Mode.CUT, Mode.RESET}:
            self.drop(reset=mode is Mode.RESET)
        try:
            yield
        finally:
            self._mode = Mode.PASS
            for pair in list(self._pairs):
                if pair.lost_bytes:
                    pair.end(reset=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(writer)
        self._pairs.add(pair)
        try:
            if self._mode in {Mode.CUT, Mode.RESET}:
                pair.end(reset=self._mode is Mode.RESET)
                return
            async with asyncio.timeout(CONNECT_SECONDS):
                up_reader, up_writer = await asyncio.open_connection(HOST, self._upstream_port)
            pair.writers.append(up_writer)
            forward, back = self._directions(up_writer, writer)
            pumps = {
                asyncio.ensure_future(self._pump(pair, reader, forward, Mode.STALL)),
                asyncio.ensure_future(self._pump(pair, up_reader, back, Mode.SWALLOW)),
            }
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            ended = await asyncio.gather(*pumps, return_exceptions=True)
            self.errors += [one for one in ended if _is_defect(one)]
        except (OSError, TimeoutError):
            pair.end(reset=True)  # as if the server was down
        finally:
            pair.end(reset=False)
            self._pairs.discard(pair)

    async def _pump(
        self,
        pair: "_Pair",
        reader: asyncio.StreamReader,
        send: Callable[[bytes], Awaitable[None]],
        dropped_in: Mode,
    ) -> None:
        """Forwards one direction until its end; STALL drops both, SWALLOW only the responses."""
        while data := await reader.read(_CHUNK):
            if self._mode is Mode.DELAY:
                await asyncio.sleep(self._delay)
            if self._mode in {Mode.STALL, dropped_in}:
                pair.lost_bytes = True
                continue
            await send(data)

    def _directions(
        self, server: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> "tuple[Callable[[bytes], Awaitable[None]], Callable[[bytes], Awaitable[None]]]":
        """What forwards a connection's bytes to the server, and to the client."""
        if self._speaks is None:
            return partial(_send, server), partial(_send, client)
        conversation = self._speaks()

        async def forward(data: bytes) -> None:
            for request in conversation.requests(data):
                verdict = Verdict(request)
                if self.rules:
                    verdict = conversation.judge(request, self.rules)
                await asyncio.sleep(verdict.seconds)
                await _send(server, verdict.to_server)
                await _send(client, verdict.to_client)

        async def back(data: bytes) -> None:
            await _send(client, conversation.responses(data))

        return forward, back


def _is_defect(ended: object) -> TypeGuard[BaseException]:
    return isinstance(ended, BaseException) and not isinstance(
        ended, OSError | asyncio.CancelledError
    )


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(data)
        await writer.drain()


class _Pair:
    """The two sockets of one connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.lost_bytes = False

    def end(self, *, reset: bool) -> None:
        for writer in self.writers:
            if not writer.is_closing():
                if reset:
                    connection: socket.socket = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    writer.transport.abort()
                else:
                    writer.close()
