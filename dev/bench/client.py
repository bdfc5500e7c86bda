"""The leanest HTTP/1.1 client that does: one kept-alive connection, requests made beforehand.

A full client costs about as much as the reads that are measured with it.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

import orjson

from settings import LOCALHOST

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


def request(method: str, path: str, *, token: str = "", body: Any = None) -> bytes:
    """The bytes of a request; `body` is sent as JSON."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {LOCALHOST}"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    content = b""
    if body is not None:
        content = orjson.dumps(body)
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join(head).encode() + _END_OF_HEAD + content


class UnexpectedAnswer(Exception):
    """The service answered something that makes a measurement worthless."""


class RawClient:
    """One connection to a port of this machine, as an async context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(LOCALHOST, self._port)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    async def send(self, request: bytes, *, expect: int = 200) -> bytes:
        """The body of the answer; raises `UnexpectedAnswer` for another status."""
        if self._reader.at_eof():  # the server closes what is idle for a few seconds
            self._writer.close()
            await self._connect()
        self._writer.write(request)
        head = await self._reader.readuntil(_END_OF_HEAD)
        body = await self._reader.readexactly(_content_length(head))
        status = int(head[9:12])
        if status != expect:
            raise UnexpectedAnswer(f"{status} instead of {expect}: {body.decode()[:300]}")
        return body


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    begin = lowered.index(_LENGTH) + len(_LENGTH)
    return int(lowered[begin : lowered.index(b"\r\n", begin)])
