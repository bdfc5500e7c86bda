"""Steps of reconciling: find carts that look wrong from outside, then look again at each."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import orjson
from temporalio import activity
from temporalio.client import WorkflowFailureError

from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from activities.upkeep.repair import shows
from adapters.inventory import InventoryClient
from adapters.mongo.carts import CartStore
from adapters.mongo.reconcile import BriefCart, CartBooks
from adapters.redis.cart_cache import CartCache
from models.errors import DependencyUnavailable, OperationAborted, OperationInProgress
from models.messages import Drift, OperationResult, Outcome
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

PAGE = 1000  # users
STORES = 100
"""Where stores are small, a page goes on to so many of them, each some calls."""

CARTS_AT_ONCE = 8

Repair = Callable[[Suspect, LookAgain], Awaitable[OperationResult]]
"""Looks at a cart by a saga of its own."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a user holds; `cursor` is that of the page on which it begins."""

    user_id: str
    units: dict[str, int]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class _Part:
    """What was compared of a store; `next` None at its end."""

    carts: int
    users: int
    suspects: list[Suspect]
    next: Position | None


class ReconcileActivities:
    """Activities over all that knows something about carts; `repair` starts the saga of one."""

    def __init__(
        self,
        carts: CartStore,
        books: CartBooks,
        inventory: InventoryClient,
        cache: CartCache,
        *,
        repair: Repair,
        reserving: bool,
        caching: bool,
    ) -> None:
        self._carts = carts
        self._books = books
        self._inventory = inventory
        self._cache = cache
        self._repair = repair
        self._reserving = reserving
        self._caching = caching

    @activity.defn(name="scan_carts")
    async def scan(self, page: ScanPage) -> Scanned:
        """Compares the next carts with what is held, pending and cached.

        Without any lock, so that what looks wrong may only be on its way.
        """
        async with heartbeats():
            with as_application_error():
                return await self._scan(page.store_id, page.position, page.stuck_before)

    async def compare_holds(self, position: Position | None) -> Scanned:
        """As `scan` of all stores, but only with what is held."""
        return await self._scan(None, position, None)

    async def _scan(
        self, store_id: str | None, position: Position | None, stuck_before: datetime | None
    ) -> Scanned:
        """Goes from store to store until the page is full."""
        carts = users = stores = 0
        suspects: list[Suspect] = []
        following: Position | None = None
        async with aclosing(self._positions(store_id, position)) as positions:
            async for beginning in positions:
                if users >= PAGE or stores == STORES:
                    following = beginning
                    break
                part = await self._compare(beginning, PAGE - users, stuck_before)
                carts, users = carts + part.carts, users + part.users
                suspects += part.suspects
                if part.next is not None:
                    following = part.next
                    break
                stores += 1
        return Scanned(carts=carts, suspects=tuple(suspects), next=following, stores=stores)

    async def _positions(
        self, only_store: str | None, position: Position | None
    ) -> AsyncGenerator[Position, None]:
        """Where the page begins, and then the beginning of each store to come."""
        if position is not None:
            yield position
        elif only_store is not None:
            yield Position(store_id=only_store)
        if only_store is None:
            async for store_id in self._books.stores(position.store_id if position else ""):
                yield Position(store_id=store_id)

    async def _compare(self, position: Position, most: int, stuck_before: datetime | None) -> _Part:
        """Compares the next users of a store, at most so many; without a time, holds alone."""
        store_id = position.store_id
        carts: list[BriefCart] = []
        suspects: set[str] = set()
        following: Position | None = None
        last, cursor = position.user_id, position.cursor
        seen = 0
        async for user_id, cart, holding in self._users(position):
            if seen == most:
                following = Position(store_id=store_id, user_id=last, cursor=cursor)
                break
            seen, last = seen + 1, user_id
            if cart is not None:
                carts.append(cart)
            if holding is not None:
                cursor = holding.cursor
            if self._differ(cart, holding):
                suspects.add(user_id)
        if stuck_before is not None:
            up_to = last if following else None
            suspects |= {
                *await self._books.stuck(
                    store_id, after=position.user_id, up_to=up_to, before=stuck_before
                ),
                *await self._wrongly_cached(store_id, carts),
            }
        return _Part(
            carts=len(carts),
            users=seen,
            suspects=[Suspect(store_id=store_id, user_id=user) for user in sorted(suspects)],
            next=following,
        )

    def _differ(self, cart: BriefCart | None, holding: Holding | None) -> bool:
        lines = cart.lines if cart else {}
        held = holding.units if holding else {}
        return bool(hold_drifts(lines, held, unsettled=(), reserving=self._reserving))

    async def _users(
        self, position: Position
    ) -> AsyncIterator[tuple[str, BriefCart | None, Holding | None]]:
        """All users of a store who have a cart or hold something, in order.

        The holding is that of the user or, where the user holds nothing, None.
        """
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
        """What each user holds, after the position's user."""
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

    async def _wrongly_cached(self, store_id: str, carts: list[BriefCart]) -> set[str]:
        """The users whose cached cart is not the one that was read."""
        if not self._caching:
            return set()
        try:
            cached = await self._cache.peek(store_id, [cart.user_id for cart in carts])
        except DependencyUnavailable:
            return set()  # nothing is shown, so nothing wrong is
        shown = {
            cart.user_id: found
            for cart, found in zip(carts, cached, strict=True)
            if found is not None
        }
        stored = {cart.user_id: cart for cart in await self._books.whole(store_id, shown)}
        return {user for user, found in shown.items() if not shows(found, stored.get(user))}

    @activity.defn(name="look_again")
    async def look_again(self, request: LookAgain) -> LookedAgain:
        """Looks at carts under their locks, several at once, and repairs them where told to.

        Tried again, it answers what the first try has repaired from the records of it.
        """
        async with heartbeats():
            with as_application_error():
                looks = await self.look_at(request)
        return LookedAgain(
            findings=tuple(finding for found in looks if found is not None for finding in found),
            busy=looks.count(None),
        )

    async def look_at(self, request: LookAgain) -> list[list[Finding] | None]:
        """The drifts of each cart; None where it could not be looked at."""
        at_once = asyncio.Semaphore(CARTS_AT_ONCE)

        async def look(suspect: Suspect) -> list[Finding] | None:
            async with at_once:
                return await self._look(suspect, request)

        return await asyncio.gather(*map(look, request.suspects))

    async def _look(self, suspect: Suspect, request: LookAgain) -> list[Finding] | None:
        """The drifts of a cart; None when it could not be looked at."""
        try:
            result = await self._repair(suspect, request)
        except (OperationInProgress, OperationAborted, WorkflowFailureError):
            return None  # one cart that cannot be looked at stops no other
        if result.outcome is Outcome.REJECTED:
            return None
        drifts = result.drifts or await self._recorded_drifts(result)
        return [
            Finding(
                store_id=suspect.store_id,
                user_id=suspect.user_id,
                run_id=result.run_id,
                drift=drift,
            )
            for drift in drifts
        ]

    async def _recorded_drifts(self, result: OperationResult) -> list[Drift]:
        """What a repair that was committed before has found."""
        if result.outcome is Outcome.UNCHANGED:
            return []
        record = await self._carts.record(result.run_id)
        if record is None or record.answer is None:
            return []
        drifts = orjson.loads(record.answer.body)["drifts"]
        return [Drift.model_validate(drift, strict=False) for drift in drifts]
