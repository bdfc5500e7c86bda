"""Each mode of the proxy does what its name says, and ends when its block ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from dev.stack.ports import free_ports
from tests.faults.proxy import HOST, Mode, Proxy

SOON, NEVER = 10.0, 0.2


class Echo:
    """A server that sends everything back, and records it."""

    def __init__(self) -> None:
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            while data := await reader.read(1024):
                self.received += data
                writer.write(data)
        writer.close()


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Echo, Proxy]]:
    ports = list(free_ports().values())
    echo = Echo()
    async with AsyncExitStack() as held:
        server = await asyncio.start_server(echo.serve, HOST, ports[0])
        held.callback(server.close)
        yield echo, await held.enter_async_context(Proxy("test", ports[1], ports[0]))


async def say(proxy: Proxy, text: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(text)
    return reader, writer


async def answers(proxy: Proxy) -> bool:
    reader, writer = await say(proxy, b"hello")
    async with asyncio.timeout(SOON):
        answered = await reader.read(1024) == b"hello"
    writer.close()
    return answered


async def end_of(reader: asyncio.StreamReader) -> Mode:
    """How a connection without unread data ends."""
    try:
        async with asyncio.timeout(SOON):
            assert await reader.read(1) == b""
    except ConnectionResetError:
        return Mode.RESET
    return Mode.CUT


@pytest.mark.parametrize(("mode", "is_received"), [(Mode.SWALLOW, True), (Mode.STALL, False)])
async def test_a_lossy_mode_keeps_connections_open_and_resets_them_at_its_end(
    mode: Mode, is_received: bool
) -> None:
    async with proxied() as (echo, proxy):
        async with proxy.broken(mode):
            reader, writer = await say(proxy, b"lost")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), NEVER)
            assert (echo.received == b"lost") is is_received
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), SOON)
        writer.close()
        assert await answers(proxy)


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.RESET])
async def test_a_cut_closes_open_and_new_connections(mode: Mode) -> None:
    async with proxied() as (_, proxy):
        reader, writer = await say(proxy, b"hello")
        assert await asyncio.wait_for(reader.read(1024), SOON) == b"hello"
        async with proxy.broken(mode):
            assert await end_of(reader) is mode
            new_reader, new_writer = await say(proxy, b"")
            assert await end_of(new_reader) is mode
        writer.close()
        new_writer.close()
        assert await answers(proxy)


async def test_a_delay_loses_nothing() -> None:
    async with proxied() as (_, proxy):
        started = time.monotonic()
        async with proxy.broken(Mode.DELAY, delay=0.1):
            assert await answers(proxy)
        assert time.monotonic() - started >= 0.2
