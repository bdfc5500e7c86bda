"""The Inventory Service over HTTP: reserve, and its undo, release.

Both are idempotent by (`storeId`, `productId`, `sagaId`, action). Releasing what was never
reserved succeeds, and a reserve that arrives after its release is refused, so an undo is always
safe to send.
"""

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from pydantic import ValidationError

from adapters.breaker import CircuitBreaker
from models.errors import DependencyTimeout, DependencyUnavailable, EffectRefused
from models.messages import ReleaseEffect
from models.steps import HoldAnswer, ReserveHold
from models.upkeep.reconcile import HeldPage
from telemetry import tracing

logger = logging.getLogger(__name__)

BASE = "/api/v1/inventories"
SLOW_SECONDS = 1.0
HELD_PAGE = 1000
CONNECT_SECONDS = 1.0
CHECK_SECONDS = 0.5
CHECK_COOLDOWN_SECONDS = 1.0
# A saga's last try of a reserve comes later than this after its first (`workflows.policies`).
COOLDOWN_SECONDS = 0.5

# Client errors that are not about the one request: credentials, and "not now".
_EVERY_REQUESTS_ERROR = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


@dataclass(frozen=True, slots=True)
class _Response:
    path: str
    status_code: int
    content: bytes

    @property
    def is_client_error(self) -> bool:
        return 400 <= self.status_code < 500  # noqa: PLR2004 (RFC 9110, 15.5)


@dataclass(frozen=True, slots=True)
class Stock:
    """Units of a product: free ones, and those that are held, for anybody."""

    available: int
    held: int


class InventoryClient:
    """Raises `DependencyTimeout` when the time ran out (it may have been done), and
    `DependencyUnavailable` when the service cannot be reached or answers with an error.

    The same while a circuit is open. Reserves and releases have one each: a release is mostly given
    less time, and a service that is too slow for that may still be in time for a reserve.
    """

    def __init__(self, base_url: str, *, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._base = base_url.rstrip("/")
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=128),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json"},
        )
        self._checking = CircuitBreaker(
            "inventory", call="check", failures=3, cooldown_seconds=CHECK_COOLDOWN_SECONDS
        )
        self._reserving = CircuitBreaker(
            "inventory", call="reserve", failures=3, cooldown_seconds=COOLDOWN_SECONDS
        )
        self._releasing = CircuitBreaker(
            "inventory", call="release", failures=3, cooldown_seconds=COOLDOWN_SECONDS
        )

    async def close(self) -> None:
        await self._http.close()

    async def ping(self) -> None:
        """Raises unless the service says that it is healthy."""
        response = await self._call("GET", "/health", timeout=2.0)
        if response.status_code != HTTPStatus.OK:
            raise DependencyUnavailable("inventory", f"/health answered {response.status_code}")

    async def check(self, store_id: str, product_id: str) -> Stock:
        """The units of a product. Somebody waits for the answer and can do without it, so it has
        less time than other calls, and a circuit of its own."""
        path = f"{BASE}/check/{quote(product_id, safe='')}?storeId={quote(store_id, safe='')}"
        async with self._checking.guard():
            response = await self._call("GET", path, timeout=CHECK_SECONDS)
            if response.status_code != HTTPStatus.OK:
                raise _unexpected(response)
            return Stock(_units(response, "available"), _units(response, "held"))

    async def reserve(self, hold: ReserveHold) -> HoldAnswer:
        """Reserves units; a refusal (409) is an answer, not an error."""
        body = {
            "storeId": hold.store_id,
            "productId": hold.product_id,
            "quantity": hold.quantity,
            "userId": hold.user_id,
            "sagaId": hold.saga_id,
            "reservationType": "cart",
        }
        async with self._reserving.guard():
            response = await self._call("POST", f"{BASE}/reserve", json=body)
            granted = response.status_code == HTTPStatus.OK
            if not granted and response.status_code != HTTPStatus.CONFLICT:
                raise _unexpected(response)
            return HoldAnswer(granted=granted, available=_units(response, "available"))

    async def release(
        self,
        store_id: str,
        user_id: str,
        release: ReleaseEffect,
        *,
        timeout: float | None = None,
        anyway: bool = False,
    ) -> None:
        """Gives a hold back; returns only when the service has accepted it.

        `anyway` also while the circuit is open. Raises `EffectRefused` when the service says that
        this request is wrong.
        """
        body: dict[str, Any] = {
            "storeId": store_id,
            "productId": release.product_id,
            "quantity": release.quantity,
            "userId": user_id,
            "sagaId": release.saga_id,
            "reason": release.reason,
        }
        if release.order_id is not None:
            body["orderId"] = release.order_id
        async with self._releasing.guard(anyway=anyway):
            response = await self._call("POST", f"{BASE}/release", json=body, timeout=timeout)
            if response.is_client_error and response.status_code not in _EVERY_REQUESTS_ERROR:
                raise EffectRefused(release.id, "inventory", _unexpected(response).detail)
            if response.status_code != HTTPStatus.OK:
                raise _unexpected(response)

    async def reservations(
        self, store_id: str, *, user_id: str | None = None, cursor: str | None = None
    ) -> HeldPage:
        """A page of what is held in a store, by one user or by all, in order of user and product.

        `cursor` is the page before's.
        """
        wanted = {"storeId": store_id, "userId": user_id, "cursor": cursor, "limit": HELD_PAGE}
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        response = await self._call("GET", f"{BASE}/reservations?{query}")
        if response.status_code != HTTPStatus.OK:
            raise _unexpected(response)
        try:
            return HeldPage.model_validate_json(response.content)
        except ValidationError as error:
            raise DependencyUnavailable("inventory", f"an unknown answer: {error}") from error

    async def _call(
        self, method: str, path: str, *, json: Any = None, timeout: float | None = None
    ) -> _Response:
        """One call, which its own timeout ends.

        A request that is cancelled in the middle has been sent all the same, and costs its
        connection; so the caller's cancellation never reaches it.
        """
        seconds = timeout or self._timeout
        request = asyncio.create_task(self._send(method, path, json, seconds))
        request.add_done_callback(_retrieve)
        return await asyncio.shield(request)

    async def _send(self, method: str, path: str, json: Any, seconds: float) -> _Response:
        connecting = min(seconds, CONNECT_SECONDS)
        limits = aiohttp.ClientTimeout(
            total=connecting + seconds, connect=seconds, sock_connect=connecting, sock_read=seconds
        )
        body = None if json is None else orjson.dumps(json)
        started = asyncio.get_running_loop().time()
        try:
            with tracing.span(
                f"{method} inventory", {"http.request.method": method, "url.path": path}
            ):
                async with self._http.request(
                    method,
                    self._base + path,
                    data=body,
                    headers=tracing.headers(),
                    timeout=limits,
                    allow_redirects=False,
                ) as answer:
                    response = _Response(path, answer.status, await answer.read())
        except aiohttp.ConnectionTimeoutError as error:
            raise DependencyUnavailable("inventory", f"{path}: {error!r}") from error
        except TimeoutError as error:
            raise DependencyTimeout("inventory", f"{path}: no answer in {seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise DependencyUnavailable("inventory", f"{path}: {error!r}") from error
        took = asyncio.get_running_loop().time() - started
        if took > SLOW_SECONDS:
            logger.warning(
                "Inventory service is slow",
                extra={"event": "inventory_slow", "path": path, "durationMs": round(took * 1000)},
            )
        return response


def _units(response: _Response, name: str) -> int:
    try:
        return max(0, int(orjson.loads(response.content)[name]))
    except (ValueError, KeyError, TypeError) as error:
        raise DependencyUnavailable("inventory", f"the answer names no `{name}`") from error


def _unexpected(response: _Response) -> DependencyUnavailable:
    return DependencyUnavailable("inventory", f"{response.path} answered {response.status_code}")


def _retrieve(task: "asyncio.Task[_Response]") -> None:
    """Takes the outcome of a call whose caller has gone, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()
