"""The Inventory Service over HTTP: reserve, and its undo, release.

Both are idempotent by (`storeId`, `productId`, `sagaId`, action). Releasing units that were never
reserved succeeds, and a reserve that arrives after its release is refused. So an undo is always
safe to send.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import orjson
import structlog
from pydantic import ValidationError

from adapters.breaker import CircuitBreaker
from models.effects import ReleaseEffect
from models.errors import DependencyTimeout, DependencyUnavailable, EffectRefused
from models.steps import Reservation, ReserveInventory
from models.upkeep.reconcile import CART_RESERVATION, ReservationPage
from telemetry import tracing

logger = structlog.stdlib.get_logger(__name__)

BASE = "/api/v1/inventories"
SLOW_SECONDS = 1.0
HELD_PAGE = 1000
CONNECT_SECONDS = 1.0
CHECK_SECONDS = 0.5
CHECK_COOLDOWN_SECONDS = 1.0
# Shorter than the time from the first to the last try of a reserve (`workflows.policies`).
COOLDOWN_SECONDS = 0.5

# Client errors that are not about one request: credentials, and "try again later".
_NOT_ABOUT_THE_REQUEST = frozenset(
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
    """Units of a product: free ones, and those that are reserved for any user."""

    available: int
    held: int


class InventoryClient:
    """Calls the Inventory Service.

    All calls raise `DependencyTimeout` when the service does not answer in time (the call may have
    taken effect), and `DependencyUnavailable` when it cannot be reached, answers with an error, or
    while the circuit is open. Checks, reserves and releases have a circuit each, because their
    timeouts differ: a service that is too slow for one may be fast enough for another.
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
        """Raises unless the service is healthy."""
        response = await self._call("GET", "/health", timeout=2.0)
        if response.status_code != HTTPStatus.OK:
            raise DependencyUnavailable("inventory", f"/health answered {response.status_code}")

    async def check(self, store_id: str, product_id: str) -> Stock:
        """The units of a product.

        The timeout is short: the caller waits for the answer, and can do without it.
        """
        path = f"{BASE}/check/{quote(product_id, safe='')}?storeId={quote(store_id, safe='')}"
        async with self._checking.guard():
            response = await self._call("GET", path, timeout=CHECK_SECONDS)
            if response.status_code != HTTPStatus.OK:
                raise _unexpected(response)
            return Stock(_units(response, "available"), _units(response, "held"))

    async def reserve(self, request: ReserveInventory) -> Reservation:
        """Reserves units. Returns a refusal (409); it is not an error."""
        body = {
            "storeId": request.store_id,
            "productId": request.product_id,
            "quantity": request.quantity,
            "userId": request.user_id,
            "sagaId": request.saga_id,
            "reservationType": CART_RESERVATION,
        }
        async with self._reserving.guard():
            response = await self._call("POST", f"{BASE}/reserve", json=body)
            granted = response.status_code == HTTPStatus.OK
            if not granted and response.status_code != HTTPStatus.CONFLICT:
                raise _unexpected(response)
            return Reservation(granted=granted, available=_units(response, "available"))

    async def release(
        self,
        store_id: str,
        user_id: str,
        release: ReleaseEffect,
        *,
        timeout: float | None = None,
        bypass_breaker: bool = False,
    ) -> None:
        """Releases reserved units; returns when the service has accepted the release.

        `bypass_breaker` sends the request also while the circuit is open. Raises `EffectRefused`
        when the service refuses this request.
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
        async with self._releasing.guard(bypass_breaker=bypass_breaker):
            response = await self._call("POST", f"{BASE}/release", json=body, timeout=timeout)
            if response.is_client_error and response.status_code not in _NOT_ABOUT_THE_REQUEST:
                raise EffectRefused(release.id, "inventory", _unexpected(response).detail)
            if response.status_code != HTTPStatus.OK:
                raise _unexpected(response)

    async def reservations(
        self, store_id: str, *, user_id: str | None = None, cursor: str | None = None
    ) -> ReservationPage:
        """A page of a store's reservations, of one user or of all, by user and product.

        `cursor` is the previous page's.
        """
        parameters = {"storeId": store_id, "userId": user_id, "cursor": cursor, "limit": HELD_PAGE}
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        response = await self._call("GET", f"{BASE}/reservations?{query}")
        if response.status_code != HTTPStatus.OK:
            raise _unexpected(response)
        try:
            page = ReservationPage.model_validate_json(response.content)
        except ValidationError as error:
            raise DependencyUnavailable("inventory", f"an unexpected answer: {error}") from error
        ours = tuple(one for one in page.reservations if one.reservation_type == CART_RESERVATION)
        return page.model_copy(update={"reservations": ours})

    async def _call(
        self, method: str, path: str, *, json: Any = None, timeout: float | None = None
    ) -> _Response:
        """Sends one request, which only its own timeout ends.

        Cancelling the caller does not cancel the request: it may have been sent already, and a
        cancelled request closes its connection.
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
                "inventory_slow",
                message="Inventory service is slow",
                path=path,
                durationMs=round(took * 1000),
            )
        return response


def _units(response: _Response, name: str) -> int:
    try:
        return max(0, int(orjson.loads(response.content)[name]))
    except (ValueError, KeyError, TypeError) as error:
        raise DependencyUnavailable("inventory", f"the answer has no `{name}`") from error


def _unexpected(response: _Response) -> DependencyUnavailable:
    return DependencyUnavailable("inventory", f"{response.path} answered {response.status_code}")


def _retrieve(task: "asyncio.Task[_Response]") -> None:
    """Retrieves the exception of a call without a caller, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
