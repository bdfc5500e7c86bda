"""Steps of reconciling: compare carts without locks, then check the suspects under their locks."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from temporalio import activity
from temporalio.client import WorkflowFailureError

from activities.concurrency import gather_bounded
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from activities.upkeep.cached_carts import CachedCarts
from adapters.inventory import InventoryClient
from adapters.mongo.operations import OperationStore
from adapters.mongo.reconcile import BriefCart, CartBooks
from adapters.redis.cart_cache import CartCache
from models.drift import Drift
from models.errors import OperationAborted, OperationInProgress
from models.outcomes import OperationResult, Outcome
from models.upkeep.reconcile import (
    Finding,
    LookAgain,
    LookedAgain,
    Position,
    Scanned,
    ScanPage,
    Suspect,
    hold_drifts,
)

PAGE = 1000
"""Most users on a page."""

STORES = 100
"""Most stores that end on a page; each costs some calls."""

CARTS_AT_ONCE = 8

Repair = Callable[[Suspect, LookAgain], Awaitable[OperationResult]]
"""Checks a cart, and repairs it if requested, by a saga of its own."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A user's reservations; `cursor` is that of the page on which they begin."""

    user_id: str
    units: dict[str, int]
    cursor: str | None


@dataclass(slots=True)
class _Page:
    """What a page has compared so far; `next` is where the next page begins."""

    carts: int = 0
    users: int = 0
    stores: int = 0
    suspects: list[Suspect] = field(default_factory=list)
    next: Position | None = None


class ReconcileActivities:
    """Activities on all systems that store something about carts. `repair` runs a cart's saga."""

    def __init__(
        self,
        operations: OperationStore,
        books: CartBooks,
        inventory: InventoryClient,
        cache: CartCache,
        *,
        repair: Repair,
        reserving: bool,
        caching: bool,
    ) -> None:
        self._operations = operations
        self._books = books
        self._inventory = inventory
        self._cached = CachedCarts(cache, books)
        self._repair = repair
        self._reserving = reserving
        self._caching = caching

    @activity.defn(name="scan_carts")
    async def scan(self, page: ScanPage) -> Scanned:
        """Compares the next carts with reservations, pending effects and the cache.

        Takes no locks, so a difference may be an operation in progress.
        """
        async with heartbeats():
            with as_application_error():
                return await self._scan(page.store_id, page.position, page.stuck_before)

    async def compare_holds(self, position: Position | None) -> Scanned:
        """As `scan` of all stores, but compares only carts and reservations."""
        return await self._scan(None, position, None)

    async def _scan(
        self, store_id: str | None, position: Position | None, stuck_before: datetime | None
    ) -> Scanned:
        """Compares one store after the other until the page is full."""
        page = _Page()
        async with aclosing(self._positions(store_id, position)) as positions:
            async for beginning in positions:
                if page.users >= PAGE or page.stores == STORES:
                    page.next = beginning
                    break
                await self._compare(page, beginning, stuck_before)
                if page.next is not None:
                    break
                page.stores += 1
        return Scanned(
            carts=page.carts, suspects=tuple(page.suspects), next=page.next, stores=page.stores
        )

    async def _positions(
        self, only_store: str | None, position: Position | None
    ) -> AsyncGenerator[Position, None]:
        """The beginning of the page, then the beginning of each following store."""
        if position is not None:
            yield position
        elif only_store is not None:
            yield Position(store_id=only_store)
        if only_store is None:
            async for store_id in self._books.stores(position.store_id if position else ""):
                yield Position(store_id=store_id)

    async def _compare(
        self, page: _Page, position: Position, stuck_before: datetime | None
    ) -> None:
        """Compares the next users of a store until the page is full.

        Compares pending effects and the cache only with `stuck_before`.
        """
        store_id = position.store_id
        carts: list[BriefCart] = []
        suspects: set[str] = set()
        last, cursor = position.user_id, position.cursor
        async for user_id, cart, holding in self._users(position):
            if page.users == PAGE:
                page.next = Position(store_id=store_id, user_id=last, cursor=cursor)
                break
            page.users, last = page.users + 1, user_id
            if cart is not None:
                carts.append(cart)
            if holding is not None:
                cursor = holding.cursor
            lines = cart.lines if cart else {}
            held = holding.units if holding else {}
            if hold_drifts(lines, held, unsettled=(), reserving=self._reserving):
                suspects.add(user_id)
        if stuck_before is not None:
            up_to = last if page.next else None
            suspects.update(
                await self._books.stuck(
                    store_id, after=position.user_id, up_to=up_to, before=stuck_before
                )
            )
            if self._caching:
                suspects |= await self._cached.stale(store_id, carts)
            if self._caching and not position.user_id:  # once for each store
                without_cart = await self._cached.without_cart(store_id, limit=PAGE)
                page.users += len(without_cart)
                suspects |= without_cart
        page.carts += len(carts)
        page.suspects += [Suspect(store_id=store_id, user_id=user) for user in sorted(suspects)]

    async def _users(
        self, position: Position
    ) -> AsyncIterator[tuple[str, BriefCart | None, Holding | None]]:
        """All users of a store with a cart or reservations, by user."""
        carts = self._books.carts(position.store_id, after=position.user_id)
        holdings = self._holdings(position)
        cart = await anext(carts, None)
        holding = await anext(holdings, None)
        while cart is not None or holding is not None:
            user_id = min(one.user_id for one in (cart, holding) if one is not None)
            its_cart = cart if cart and cart.user_id == user_id else None
            its_holding = holding if holding and holding.user_id == user_id else None
            yield user_id, its_cart, its_holding
            if its_cart is not None:
                cart = await anext(carts, None)
            if its_holding is not None:
                holding = await anext(holdings, None)

    async def _holdings(self, position: Position) -> AsyncIterator[Holding]:
        """The reservations of each user after the position's."""
        cursor = position.cursor
        current: Holding | None = None
        while True:
            page = await self._inventory.reservations(position.store_id, cursor=cursor)
            for row in page.reservations:
                if row.user_id <= position.user_id:
                    continue
                if current is None or current.user_id != row.user_id:
                    if current is not None:
                        yield current
                    current = Holding(row.user_id, {}, cursor)
                current.units[row.product_id] = row.quantity
            if page.cursor is None:
                break
            cursor = page.cursor
        if current is not None:
            yield current

    @activity.defn(name="look_again")
    async def look_again(self, request: LookAgain) -> LookedAgain:
        """Checks carts under their locks, and repairs them if requested.

        A retry reads earlier repairs from their records.
        """
        async with heartbeats():
            with as_application_error():
                looks = await self.look_at(request)
        return LookedAgain(
            findings=tuple(finding for found in looks if found is not None for finding in found),
            busy=looks.count(None),
        )

    async def look_at(self, request: LookAgain) -> list[list[Finding] | None]:
        """The drifts of each cart; None where it could not be checked."""

        async def look(suspect: Suspect) -> list[Finding] | None:
            return await self._look(suspect, request)

        return await gather_bounded(look, request.suspects, CARTS_AT_ONCE)

    async def _look(self, suspect: Suspect, request: LookAgain) -> list[Finding] | None:
        """The drifts of a cart; None when it could not be checked."""
        try:
            result = await self._repair(suspect, request)
        except (OperationInProgress, OperationAborted, WorkflowFailureError):
            return None  # must not stop the other carts
        if result.outcome is Outcome.REJECTED:
            return None
        drifts = result.drifts or await self._recorded_drifts(result)
        return [
            Finding(
                store_id=suspect.store_id,
                user_id=suspect.user_id,
                record_id=result.record_id,
                drift=drift,
            )
            for drift in drifts
        ]

    async def _recorded_drifts(self, result: OperationResult) -> list[Drift]:
        """The drifts that an earlier committed repair has recorded."""
        if result.outcome is Outcome.UNCHANGED:
            return []
        record = await self._operations.record(result.record_id)
        answer = await self._operations.answer(record) if record else None
        if answer is None or answer.body is None:
            return []
        drifts = orjson.loads(answer.body)["drifts"]
        return [Drift.model_validate(drift, strict=False) for drift in drifts]
