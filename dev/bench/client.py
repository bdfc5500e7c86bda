"""A minimal HTTP/1.1 client: one kept-alive connection, and requests that are built beforehand.

A full client would cost about as much as the reads that are measured with it.
"""

import asyncio
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
    """The service returned a status that makes the measurement worthless."""


class RawClient:
    """One connection to a local port, as an async context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(LOCALHOST, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send(self, request: bytes, *, expect: int = 200) -> bytes:
        """The body of the response; raises `UnexpectedAnswer` for another status."""
        if self._reader.at_eof():  # the server closes connections that are idle for seconds
            self._writer.close()
            await self.__aenter__()
        self._writer.write(request)
        head = await self._reader.readuntil(_END_OF_HEAD)
        length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
        body = await self._reader.readexactly(int(length))
        status = int(head[9:12])
        if status != expect:
            raise UnexpectedAnswer(f"{status} instead of {expect}: {body.decode()[:300]}")
        return body
