"""Downloads an issuer's key document, bounded in time, size and redirects.

Uses what operators expect of the environment: `SSL_CERT_FILE` and `SSL_CERT_DIR` for authorities of
their own, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` for proxies. This machine is never reached
through a proxy.
"""

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from adapters.content_coding import decompressed
from settings.proxies import proxy_for
from settings.tls import trusting

FETCH_SECONDS = 4.0
MAX_BYTES = 256 * 1024
MAX_HOPS = 4


@dataclass(frozen=True, slots=True)
class Download:
    """A key document, and the `Date` of its answer unless that came from a cache."""

    body: bytes
    date: str | None


def key_client(url: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client for `download`. Where the address leads to is reached by the same proxy."""
    return httpx.AsyncClient(
        transport=transport,
        # The authorities that this process's other clients trust. The library's default differs.
        verify=trusting(None),
        proxy=proxy_for(url),
        trust_env=False,
        timeout=httpx.Timeout(2.0, connect=1.0),
        limits=httpx.Limits(max_connections=2),
        # A compressed document can be much larger than what was received.
        headers={"Accept": "application/json, */*;q=0.5", "Accept-Encoding": "identity"},
    )


async def download(http: httpx.AsyncClient, url: str) -> Download:
    """The key document at an address. Follows redirects, and the `jwks_uri` of a discovery document
    (OpenID Connect Discovery 1.0), but never from https to http.

    Raises `httpx.HTTPError`, or `ValueError` for a document that cannot be used.
    """
    deadline = time.monotonic() + FETCH_SECONDS
    here = httpx.URL(url)
    for _ in range(MAX_HOPS):
        response, body = await _get(http, here, deadline)
        if response.has_redirect_location:
            there = here.join(response.headers["location"])
        else:
            if response.status_code != HTTPStatus.OK:
                raise ValueError(f"{_shown(here)} answered {response.status_code}")
            pointer = _jwks_uri(body)
            if pointer is None:
                is_cached = "age" in response.headers
                return Download(body, None if is_cached else response.headers.get("date"))
            there = here.join(pointer)
        if there.scheme != "https" and (here.scheme == "https" or there.scheme != "http"):
            raise ValueError(f"{_shown(here)} leads to {_shown(there)}, which is not https")
        here = there
    raise ValueError(f"{_shown(here)} leads on more than {MAX_HOPS - 1} times")


async def _get(
    http: httpx.AsyncClient, url: httpx.URL, deadline: float
) -> tuple[httpx.Response, bytes]:
    body = b""
    async with http.stream("GET", url) as response:
        coding = response.headers.get("content-encoding", "")
        is_plain = coding.lower() in {"", "identity"}
        # The library would decompress without a bound.
        async for part in response.aiter_bytes() if is_plain else response.aiter_raw():
            body += part
            if len(body) > MAX_BYTES or time.monotonic() > deadline:
                raise ValueError(f"the answer of {_shown(url)} is too large or too slow")
    return response, decompressed(body, coding, most=MAX_BYTES)


def _shown(url: httpx.URL) -> str:
    """The address without a login."""
    return str(url.copy_with(userinfo=b""))


def _jwks_uri(body: bytes) -> str | None:
    """Where a discovery document says that the keys are; None if it is another document."""
    try:
        content: Any = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(content, dict) or "keys" in content:
        return None
    uri = content.get("jwks_uri")
    return uri if isinstance(uri, str) else None
