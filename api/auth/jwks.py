"""The issuer's public keys, fetched from its JWKS URL and cached.

Cached keys stay in use while the issuer is unavailable. An unknown key id causes a new fetch, at
most once in `REFRESH_SECONDS`, so that forged tokens cannot flood the issuer with requests.

Not `jwt.PyJWKClient`, because it fetches with urllib, which blocks the event loop.
"""

import asyncio
import time
from typing import Any

import httpx
import jwt
import orjson
import structlog

logger = structlog.stdlib.get_logger(__name__)

REFRESH_SECONDS = 30.0
MAX_AGE_SECONDS = 600.0
FIRST_TRY_AGAIN_SECONDS = 1.0
FETCH_SECONDS = 4.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 100


class UnknownKeyError(Exception):
    """No key of the issuer has this id."""


class KeysUnavailableError(Exception):
    """The keys could not be fetched, and no cached key has this id."""


class JwksKeys:
    """Verification keys for one algorithm, by key id."""

    def __init__(
        self, url: str, algorithm: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url
        self._algorithm = algorithm
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(2.0, connect=1.0),
            limits=httpx.Limits(max_connections=2),
            trust_env=False,
        )
        self._keys: dict[str | None, Any] = {}
        self._asked_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._fetching is not None:
            await asyncio.wait({self._fetching}, timeout=FETCH_SECONDS)
        await self._http.aclose()

    async def key(self, kid: str | None) -> Any:
        """The key with this id; without an id, the issuer's only key."""
        found = self._find(kid)
        if found is None or self._age() > MAX_AGE_SECONDS:
            await self._refresh()
            found = self._find(kid)
        if found is not None:
            return found
        if self._failed:
            raise KeysUnavailableError
        raise UnknownKeyError(kid)

    def _find(self, kid: str | None) -> Any:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _age(self) -> float:
        return float("inf") if self._asked_at is None else time.monotonic() - self._asked_at

    async def _refresh(self) -> None:
        """Fetches the keys unless that was just done; joins a fetch that is in progress."""
        if self._fetching is None:
            wait = REFRESH_SECONDS if self._keys or not self._failed else FIRST_TRY_AGAIN_SECONDS
            if self._age() < wait:
                return
            self._asked_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        # A cancelled httpx request can leak its pool slot for good (encode/httpcore#1093).
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            document = orjson.loads(await self._download())
            self._keys = self._usable(document)
            self._failed = False
        except (httpx.HTTPError, ValueError, TypeError, KeyError, jwt.PyJWTError) as error:
            self._failed = True
            logger.warning(
                "jwks_unavailable", message="Could not fetch token keys", reason=repr(error)
            )
        finally:
            self._fetching = None

    async def _download(self) -> bytes:
        """The document; raises `ValueError` if it is too large or too slow."""
        deadline = time.monotonic() + FETCH_SECONDS
        body = b""
        async with self._http.stream("GET", self._url) as response:
            response.raise_for_status()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES or time.monotonic() > deadline:
                    raise ValueError("the document is too large or too slow")
        return body

    def _usable(self, document: Any) -> dict[str | None, Any]:
        """The signature keys for the configured algorithm (RFC 7517, 4.2)."""
        keys = {
            key.key_id: key.key
            for key in jwt.PyJWKSet(document["keys"][:MAX_KEYS]).keys  # without unknown key types
            if key.algorithm_name == self._algorithm and key.public_key_use in {None, "sig"}
        }
        if not keys:
            raise ValueError(f"the document has no {self._algorithm} key")
        return keys
