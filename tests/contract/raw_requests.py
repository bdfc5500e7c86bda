"""Random requests as bytes, which no HTTP client would send: for the fuzz and the tests of HTTP.

Methods, targets, queries, header fields, framing and bodies are valid, odd or garbage; some
requests are sent in pieces, or only in part. The server may refuse them, never fail on them.
"""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field

REPLY_SECONDS = 10.0
_METHODS = (*("GET", "POST", "PUT", "DELETE") * 3, "HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND")
_NAMES = (
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Connection",
    "Content-Encoding",
    "Content-Type",
    "Cookie",
    "Expect",
    "Forwarded",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Origin",
    "Prefer",
    "Range",
    "TE",
    "Traceparent",
    "Trailer",
    "Upgrade",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Request-Id",
)
_VALUES = (
    "",
    "*",
    "*/*;q=0.1, application/json",
    "application/json; charset=utf-8",
    'application/json; a="\\"; b',
    "gzip",
    "h2c",
    "Upgrade, close",
    "100-continue",
    'W/"3-507f1f77bcf86cd799439013-gzip", "a,b"',
    "bytes=0-",
    "for=unknown;proto=https",
    "2001:db8::1, 10.0.0.1:99",
    "Bearer a.b.c",
    "POST",
    "https://shop.example.com",
    "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    "\xfc\xff",
)
_RARE_VALUES = ("\x7f\x01", "a" * 20_000)
_PATHS = (
    "/api/v1/cart/{store}/store",
    "/api/v1/cart/{store}/admin/carts",
    "/api/v1/cart/507f1f77bcf86cd799439013",
    "/api/v1/cart/507f1f77bcf86cd799439013/items/p",
    "/api/v1/cart/{store}/operations/00000000000000000000000000000000",
    "/admin/log-level",
    "/health/live",
    "/openapi.json",
    "/docs",
    "/metrics",
    "*",
    "http://cart.example.com/health/live",
    "/%00/%FF/..%2f",
    "/\xff",
    "",
)
_QUERIES = ("", "", "?", "?page=1", "?page=%FF&page=2", "?limit=\xe9", "?%00=%00", "?" + "a&" * 200)
_BODIES = (
    b"",
    b"{}",
    b"[1e999]",
    b'{"a":1,"a":2}',
    b"\xef\xbb\xbf{}",
    b"\x1f\x8b\x08",
    b"\xff" * 50,
    b"[" * 5000,
    b" " * 70_000,
)


@dataclass
class Seen:
    """What came back: the number of each status, of closed connections, and what was wrong."""

    statuses: Counter[int] = field(default_factory=Counter)
    closed: int = 0
    faults: list[str] = field(default_factory=list)


def raw_request(chance: random.Random, *, store: str, token: str) -> bytes:
    """One random request."""
    method = chance.choice(_METHODS) if chance.random() < 0.95 else _garbage(chance, 8)
    target = chance.choice(_PATHS).format(store=store) + chance.choice(_QUERIES)
    version = chance.choice(("HTTP/1.1",) * 40 + ("HTTP/1.0", "HTTP/2.0", "http/1.1", ""))
    lines = [f"{method} {target} {version}"]
    if chance.random() < 0.97:
        lines.append("Host: cart.example.com")
    if chance.random() < 0.7:
        lines.append(f"Authorization: Bearer {token}")
    for _ in range(chance.choice((0, 1, 2, 3, 5, 8) * 4 + (120,))):
        name = chance.choice(_NAMES)
        name = chance.choice((name, name.lower(), name.upper()))
        value = chance.choice(_VALUES if chance.random() < 0.98 else _RARE_VALUES)
        lines.append(f"{name}: {value}")
    if chance.random() < 0.05:
        lines.append(_garbage(chance, 30))
    body = chance.choice(_BODIES)
    if chance.random() < 0.3:
        body = json.dumps({"productId": "p", "quantity": chance.choice((1, -1, 1e400))}).encode()
    framing = chance.random()
    if framing < 0.5:
        lines.append(f"Content-Length: {len(body) + chance.choice((0,) * 30 + (1, -1, 10))}")
    elif framing < 0.75:
        lines.append("Transfer-Encoding: chunked")
        body = (
            b"%x;e=1\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body)
            if body
            else b"0\r\n\r\n"
        )
    end = chance.choice(("\r\n",) * 40 + ("\n",))
    return end.join([*lines, "", ""]).encode("latin-1") + body


def _garbage(chance: random.Random, most: int) -> str:
    return "".join(chr(chance.randrange(256)) for _ in range(chance.randrange(1, most)))


async def send_raw(port: int, number: int, *, seed: int, store: str, token: str) -> Seen:
    """Sends random requests, each on a connection of its own, and reads the first response."""
    chance, seen = random.Random(seed), Seen()
    for _ in range(number):
        raw = raw_request(chance, store=store, token=token)
        if chance.random() < 0.1:
            raw = raw[: chance.randrange(len(raw))]
        pieces = chance.choice((1, 1, 1, 2, 5))
        status = await _first_status(port, raw, pieces)
        if status is None:
            seen.closed += 1
            continue
        seen.statuses[status] += 1
        # 501 is for unknown methods (RFC 9110, 15.6.2).
        if status >= 500 and status != 501:
            seen.faults.append(f"{status}: {raw[:300]!r}")
    return seen


async def _first_status(port: int, raw: bytes, pieces: int) -> int | None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(REPLY_SECONDS):
            size = len(raw) // pieces + 1
            for at in range(0, len(raw), size):
                writer.write(raw[at : at + size])
                await writer.drain()
                await asyncio.sleep(0.001)
            writer.write_eof()  # what is incomplete stays so
            return int((await reader.readline()).split()[1])
    except (OSError, IndexError):  # closed before the end, or without a response
        return None
    finally:
        writer.close()
