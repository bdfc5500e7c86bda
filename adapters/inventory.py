"""The Inventory Service over HTTP: reserve, and its undo, release.

Both are idempotent by (`storeId`, `productId`, `sagaId`, action). Releasing units that were never
reserved has no effect, and a reserve that arrives after its release is refused. So an undo is
always safe to send.

Inventories differ in how they answer. What each answer means is decided here, and nothing of an
answer is used before it was checked; docs/inventory.md has the table.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from pydantic import ValidationError

from adapters.breaker import CircuitBreaker
from adapters.service_http import HttpAnswer, ServiceHttp
from models.effects import ReleaseEffect
from models.errors import DependencyUnavailable, EffectRefused
from models.steps import Reservation, ReserveInventory
from models.upkeep.reconcile import CART_RESERVATION, ReservationPage
from settings import Settings

BASE = "/api/v1/inventories"
HELD_PAGE = 1000
HELD_PAGES = 20
HELD_PAGE_BYTES = 4 * 1024 * 1024
CHECK_SECONDS = 0.5
FAILING_PRODUCTS = 3
LATEST_CALLS = 20
CHECK_COOLDOWN_SECONDS = 1.0
# Shorter than the time from the first to the last try of a reserve (`workflows.policies`).
COOLDOWN_SECONDS = 0.5
MAX_UNITS = 2**53 - 1
"""The largest number of units that is believed: that of a JSON integer (RFC 8259, section 6)."""


class _Meaning(StrEnum):
    """What a status says about a call."""

    DONE = "done"
    TOO_FEW = "too few"
    UNKNOWN_PRODUCT = "unknown product"
    NOT_ACCEPTABLE = "not acceptable"
    REFUSED = "refused"
    """Another client error. It may be about this request or about all."""
    OUTAGE = "outage"


_MEANINGS = {
    HTTPStatus.CONFLICT: _Meaning.TOO_FEW,
    HTTPStatus.NOT_FOUND: _Meaning.UNKNOWN_PRODUCT,
    HTTPStatus.GONE: _Meaning.UNKNOWN_PRODUCT,
    HTTPStatus.BAD_REQUEST: _Meaning.NOT_ACCEPTABLE,
    HTTPStatus.UNPROCESSABLE_ENTITY: _Meaning.NOT_ACCEPTABLE,
    # Client errors that are not about one request: credentials, and "try again later".
    HTTPStatus.UNAUTHORIZED: _Meaning.OUTAGE,
    HTTPStatus.FORBIDDEN: _Meaning.OUTAGE,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: _Meaning.OUTAGE,
    HTTPStatus.REQUEST_TIMEOUT: _Meaning.OUTAGE,
    HTTPStatus.TOO_EARLY: _Meaning.OUTAGE,
    HTTPStatus.TOO_MANY_REQUESTS: _Meaning.OUTAGE,
}


_NO_SUCH_CALL = {
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_IMPLEMENTED,
}
"""How a service answers to a call that it does not have."""


def _meaning(answer: HttpAnswer) -> _Meaning:
    if answer.is_success:
        return _Meaning.DONE
    other = _Meaning.REFUSED if answer.is_client_error else _Meaning.OUTAGE
    return _MEANINGS.get(answer.status, other)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True, slots=True)
class Stock:
    """Units of a product: free ones, and those that are reserved for any user."""

    available: int
    held: int


class InventoryClient:
    """Calls the Inventory Service.

    All calls raise `DependencyTimeout` when the service does not answer in time (the call may have
    taken effect), `NotSent` when it cannot be reached or while the circuit is open, and
    `DependencyUnavailable` when it answers with an error or with a body that cannot be read.
    Checks, reserves and releases have a circuit each, because their timeouts differ: a service that
    is too slow for one may be fast enough for another. An answer about one request is no failure.
    """

    def __init__(self, http: ServiceHttp) -> None:
        self._http = http
        self._checking = _breaker("check", CHECK_COOLDOWN_SECONDS)
        self._reserving = _breaker("reserve", COOLDOWN_SECONDS)
        self._releasing = _breaker("release", COOLDOWN_SECONDS)

    @property
    def breakers(self) -> tuple[CircuitBreaker, ...]:
        return self._reserving, self._releasing, self._checking

    @classmethod
    def of(cls, settings: Settings, *, timeout_seconds: float | None = None) -> "InventoryClient":
        """A client of the configured service, with its credentials."""
        http = ServiceHttp(
            "inventory",
            settings.inventory,
            timeout_seconds=timeout_seconds or settings.inventory_timeout_seconds,
            headers=settings.inventory_credentials,
            tls=settings.inventory_tls(),
            proxy=settings.inventory_proxy,
        )
        return cls(http)

    async def close(self) -> None:
        await self._http.close()

    async def ping(self) -> None:
        """Raises unless the service is healthy."""
        answer = await self._http.call("GET", "/health", timeout=2.0)
        if not answer.is_success:
            raise DependencyUnavailable("inventory", f"/health answered {answer.status}")

    async def check(self, store_id: str, product_id: str) -> Stock | None:
        """The units of a product; None where the service does not say both numbers.

        The timeout is short: the caller waits for the answer, and can do without it.
        """
        body = await self._check_body(store_id, product_id)
        available, held = _units(body, "available"), _units(body, "held")
        return None if available is None or held is None else Stock(available, held)

    async def _check_body(self, store_id: str, product_id: str) -> dict[str, Any]:
        """The body of a check; empty where the service does not know the product.

        Not "no units": an inventory without this call answers 404 for every product.
        """
        path = f"{BASE}/check/{quote(product_id, safe='')}?storeId={quote(store_id, safe='')}"
        async with self._checking.guard(_subject(store_id, product_id)):
            answer = await self._http.call("GET", path, timeout=CHECK_SECONDS)
            match _meaning(answer):
                case _Meaning.DONE:
                    return _object(answer)
                case _Meaning.OUTAGE | _Meaning.REFUSED:
                    raise _unexpected(answer)
                case _:
                    return {}

    async def reserve(self, request: ReserveInventory) -> Reservation:
        """Reserves units. Returns a refusal; it is not an error."""
        body: dict[str, Any] = {
            "storeId": request.store_id,
            "productId": request.product_id,
            "quantity": request.quantity,
            "userId": request.user_id,
            "sagaId": request.saga_id,
            "reservationType": CART_RESERVATION,
            **_time_to_live(request),
        }
        async with self._reserving.guard(_subject(request.store_id, request.product_id)):
            answer = await self._http.call("POST", f"{BASE}/reserve", json=body)
            reservation = _reservation(answer)
        if reservation.granted or not reservation.accepted or reservation.available is not None:
            return reservation
        return reservation.model_copy(update={"available": await self._fewer_than(request)})

    async def transfer(self, request: ReserveInventory) -> Reservation:
        """Moves units from the holds of `request.from_user_id` to the user.

        The call is optional: `supported` is False where the service does not have it.
        """
        body = {
            "storeId": request.store_id,
            "productId": request.product_id,
            "quantity": request.quantity,
            "fromUserId": request.from_user_id,
            "toUserId": request.user_id,
            "sagaId": request.saga_id,
            **_time_to_live(request),
        }
        async with self._reserving.guard(_subject(request.store_id, request.product_id)):
            answer = await self._http.call("POST", f"{BASE}/transfer", json=body)
            if answer.status in _NO_SUCH_CALL:
                return Reservation(granted=False, supported=False)
            return _reservation(answer)

    async def _fewer_than(self, request: ReserveInventory) -> int | None:
        """How many units there are, of which there are too few; None when that cannot be found."""
        try:
            body = await self._check_body(request.store_id, request.product_id)
        except DependencyUnavailable:
            return None
        available = _units(body, "available")
        # Enough now, or refused for another reason: the number would contradict the refusal.
        return available if available is not None and available < request.quantity else None

    async def release(
        self,
        store_id: str,
        user_id: str,
        release: ReleaseEffect,
        *,
        timeout: float | None = None,
        bypass_breaker: bool = False,
    ) -> None:
        """Releases reserved units; returns when nothing is reserved any more by that saga.

        An unknown product or reservation (404, 410) is such an answer: a release of units that
        were never reserved has no effect, and a repeat would get the same answer for ever. Units
        that are held nevertheless are found by the watch over holds.

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
        async with self._releasing.guard(
            _subject(store_id, release.product_id), bypass_breaker=bypass_breaker
        ):
            answer = await self._http.call("POST", f"{BASE}/release", json=body, timeout=timeout)
            match _meaning(answer):
                case _Meaning.DONE | _Meaning.UNKNOWN_PRODUCT:
                    return
                case _Meaning.OUTAGE:
                    raise _unexpected(answer)
                case _:
                    raise EffectRefused(release.id, "inventory", _unexpected(answer).detail)

    async def reservations(
        self, store_id: str, *, user_id: str | None = None, cursor: str | None = None
    ) -> ReservationPage:
        """A page of a store's reservations, of one user or of all, by user and product.

        `cursor` is the previous page's.
        """
        parameters = {"storeId": store_id, "userId": user_id, "cursor": cursor, "limit": HELD_PAGE}
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        answer = await self._http.call(
            "GET", f"{BASE}/reservations?{query}", max_bytes=HELD_PAGE_BYTES
        )
        if not answer.is_success:
            raise _unexpected(answer)
        try:
            page = ReservationPage.model_validate_json(answer.body())
        except ValidationError as error:
            raise DependencyUnavailable("inventory", f"an unexpected answer: {error}") from error
        ours = tuple(one for one in page.reservations if one.reservation_type == CART_RESERVATION)
        return page.model_copy(update={"reservations": ours})

    async def held_units(self, store_id: str, user_id: str) -> dict[str, int]:
        """Product id -> units that are reserved for a user.

        An inventory that ignores `userId` lists the whole store; raises `DependencyUnavailable`
        when that has more reservations than are read here.
        """
        held: Counter[str] = Counter()
        cursor: str | None = None
        for _ in range(HELD_PAGES):
            page = await self.reservations(store_id, user_id=user_id, cursor=cursor)
            for row in page.reservations:
                if row.user_id == user_id:
                    held[row.product_id] += row.quantity
            cursor = page.cursor
            if cursor is None:
                return held
        raise DependencyUnavailable("inventory", "it has more reservations than are read here")


def _breaker(call: str, cooldown_seconds: float) -> CircuitBreaker:
    return CircuitBreaker(
        "inventory",
        call=call,
        failures=FAILING_PRODUCTS,
        cooldown_seconds=cooldown_seconds,
        window=LATEST_CALLS,
    )


def _subject(store_id: str, product_id: str) -> str:
    """What a call is about, for its circuit breaker."""
    return f"{store_id}/{product_id}"


def _time_to_live(request: ReserveInventory) -> dict[str, int]:
    return {} if request.ttl_seconds is None else {"ttlSeconds": request.ttl_seconds}


def _reservation(answer: HttpAnswer) -> Reservation:
    """What an answer to a reserve means. Raises `DependencyUnavailable` if it is none."""
    match _meaning(answer):
        case _Meaning.DONE:
            body = _object(answer)
            return Reservation(granted=_succeeded(answer, body), available=_units(body))
        case _Meaning.TOO_FEW:
            return Reservation(granted=False, available=_units(_object_or_nothing(answer)))
        case _Meaning.UNKNOWN_PRODUCT:
            return Reservation(granted=False, available=0)
        case _Meaning.NOT_ACCEPTABLE:
            return Reservation(granted=False, accepted=False)
        case _:
            raise _unexpected(answer)


def _succeeded(answer: HttpAnswer, body: dict[str, Any]) -> bool:
    """Whether a 2xx means what it says: its body may still say `success: false`."""
    success = body.get("success")
    if success is not None and not isinstance(success, bool):
        raise DependencyUnavailable("inventory", f"{answer.path}: `success` is not a boolean")
    return success is not False


def _object(answer: HttpAnswer) -> dict[str, Any]:
    """The body, which must be a JSON object or empty. Else raises `DependencyUnavailable`."""
    content = answer.body().strip()
    try:
        found = orjson.loads(content) if content else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        detail = f"{answer.path} answered {answer.status} without a JSON object"
        raise DependencyUnavailable("inventory", detail)
    return found


def _object_or_nothing(answer: HttpAnswer) -> dict[str, Any]:
    """The body where the status has decided already."""
    try:
        return _object(answer)
    except DependencyUnavailable:
        return {}


def _units(body: dict[str, Any], name: str = "available") -> int | None:
    """A number of units; None when it is absent or is none. An oversold product has none left."""
    units = body.get(name)
    if not isinstance(units, int) or isinstance(units, bool) or units > MAX_UNITS:
        return None
    return max(0, units)


def _unexpected(answer: HttpAnswer) -> DependencyUnavailable:
    return DependencyUnavailable("inventory", f"{answer.path} answered {answer.status}")
