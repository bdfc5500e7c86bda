"""The issuer's public keys, fetched from its JWKS URL and cached.

| age of the keys | |
|---|---|
| up to `REFRESH_AFTER_SECONDS` | used |
| then | used, and fetched again in the background |
| from `MAX_AGE_SECONDS` on | a request waits for the fetch; if it fails the keys stay in use |
| from `keep_hours` on | not used any more |

So a key that the issuer withdraws is refused after `MAX_AGE_SECONDS` at the latest, unless the
issuer cannot be reached. An unknown key id, or a signature that no key fits, fetches them at once,
but at most once in `REFRESH_SECONDS`: forged tokens cannot flood the issuer with requests.

Not `jwt.PyJWKClient`, because it fetches with urllib, which blocks the event loop.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx
import structlog

from api.auth.download import FETCH_SECONDS, download, key_client
from api.auth.keys import KeySet, read_keys

logger = structlog.stdlib.get_logger(__name__)

REFRESH_SECONDS = 30.0
REFRESH_AFTER_SECONDS = 300.0
MAX_AGE_SECONDS = 600.0
FIRST_TRY_AGAIN_SECONDS = 1.0


class UnknownKeyError(Exception):
    """No key of the issuer has this id."""


class KeysUnavailableError(Exception):
    """The keys could not be fetched, and no cached key has this id."""


class JwksKeys:
    """Verification keys for one algorithm."""

    def __init__(
        self,
        url: str,
        algorithm: str,
        *,
        keep_hours: float = 24,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._algorithm = algorithm
        self._keep_seconds = keep_hours * 3600
        self._http = key_client(url, transport)
        self._keys = KeySet()
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._fetching is not None:
            await asyncio.wait({self._fetching}, timeout=FETCH_SECONDS)
        await self._http.aclose()

    async def key(self, kid: str | None) -> Any:
        """The first of the `keys`."""
        return (await self.keys(kid))[0]

    async def keys(self, kid: str | None) -> Sequence[Any]:
        """The keys that may have signed a token with this key id: at least one."""
        await self._follow_age()
        found = self._keys.candidates(kid)
        if not found:
            await self._refresh()
            found = self._keys.candidates(kid) or self._keys.without_id
        if found:
            return found
        if self._failed:
            raise KeysUnavailableError
        raise UnknownKeyError(kid)

    async def newer_keys(self, kid: str | None, tried: Sequence[Any]) -> Sequence[Any]:
        """The keys that were published since those that were tried: an issuer that leaves out key
        ids, or uses one again, changes its keys without another sign.
        """
        await self._refresh()
        found = self._keys.candidates(kid) or self._keys.without_id
        return [key for key in found if key not in tried]

    async def _follow_age(self) -> None:
        age = _since(self._fetched_at)
        if age > self._keep_seconds and self._keys.by_id:
            logger.error(
                "jwks_too_old",
                message="Token keys are too old to be used; tokens cannot be checked",
                hours=round(age / 3600, 1),
            )
            self._keys = KeySet()
        is_stale = age > MAX_AGE_SECONDS and not self._failed
        if is_stale or not self._keys.by_id:
            await self._refresh()
        elif age > REFRESH_AFTER_SECONDS:
            self._begin()

    async def _refresh(self) -> None:
        """Fetches the keys unless that was just done; joins a fetch that is in progress."""
        self._begin()
        if self._fetching is not None:
            # A cancelled httpx request can leak its pool slot for good (encode/httpcore#1093).
            await asyncio.shield(self._fetching)

    def _begin(self) -> None:
        wait = FIRST_TRY_AGAIN_SECONDS if not self._keys.by_id and self._failed else REFRESH_SECONDS
        if self._fetching is None and _since(self._asked_at) >= wait:
            self._asked_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            document = await download(self._http, self._url)
            keys = read_keys(document.body, self._algorithm)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            self._failed = True
            reason = f"{type(error).__name__}: {error}"
            logger.warning("jwks_unavailable", message="Could not fetch token keys", reason=reason)
        else:
            if keys.skipped != self._keys.skipped:
                logger.warning(
                    "jwks_keys_skipped",
                    message="Some of the issuer's keys cannot be used",
                    reasons=keys.skipped,
                )
            self._keys = keys
            self._fetched_at = time.monotonic()
            self._failed = False
        finally:
            self._fetching = None


def _since(moment: float | None) -> float:
    """Seconds since a moment of the monotonic clock; infinite without one."""
    return float("inf") if moment is None else time.monotonic() - moment
