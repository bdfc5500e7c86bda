"""An HTTP server that answers with given bytes, also with such that no framework would send."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True)
class RawAnswer:
    """A status, and the bytes of the body.

    `pause` is the time between two bytes of the body (a trickle). `silent` sends nothing at all.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0
    silent: bool = False

    @property
    def head(self) -> bytes:
        """The status line and the headers."""
        phrase = HTTPStatus(self.status).phrase
        fields = {"Content-Length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class RawServer:
    """`requests` has the request line and headers of each request, as text."""

    port: int
    answer: Callable[[str], RawAnswer]
    scheme: str = "http"
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        """The request lines."""
        return [request.partition("\r\n")[0] for request in self.requests]


@asynccontextmanager
async def raw_server(
    answer: Callable[[str], RawAnswer], tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Serves on a free port. `answer` gets the path of a request, with its query."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await _serve(server, reader, writer)
        writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    server = RawServer(listening.sockets[0].getsockname()[1], answer, scheme)
    try:
        yield server
    finally:
        listening.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _serve(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            await reader.readexactly(int(value))
    server.requests.append(head)
    answer = server.answer(head.split(" ")[1])
    if answer.silent:
        await asyncio.get_running_loop().create_future()
    writer.write(answer.head)
    if not answer.pause:
        writer.write(answer.body)
    for byte in answer.body if answer.pause else b"":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(answer.pause)
    await writer.drain()
