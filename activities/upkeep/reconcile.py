"""Steps of reconciling: compare carts without locks, then check the suspects under their locks."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

import orjson
import structlog
from temporalio import activity
from temporalio.client import WorkflowFailureError

from activities.concurrency import gather_bounded
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from activities.upkeep.cached_carts import CachedCarts
from adapters.inventory import InventoryClient
from adapters.mongo.findings import FindingStore
from adapters.mongo.operations import OperationStore
from adapters.mongo.reconcile import BriefCart, CartBooks
from adapters.redis.cart_cache import CartCache
from models.drift import Drift
from models.errors import OperationAborted, OperationInProgress
from models.outcomes import OperationResult, Outcome
from models.runners import Share
from models.upkeep.reconcile import (
    Finding,
    LookAgain,
    Position,
    ReconciledPage,
    ReconcilePage,
    Suspect,
    hold_drifts,
)

logger = structlog.stdlib.get_logger(__name__)

PAGE = 1000
"""Most users on a page."""

STORES = 100
"""Most stores that end on a page; each costs some calls."""

CARTS_AT_ONCE = 8

Reserving = Callable[[str], Awaitable[bool]]
"""Whether the lines of a store's carts need a reservation."""

Repair = Callable[[Suspect, LookAgain], Awaitable[OperationResult]]
"""Checks a cart, and repairs it if requested, by a saga of its own."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A user's reservations; `cursor` is that of the page on which they begin."""

    user_id: str
    units: dict[str, int]
    cursor: str | None


@dataclass(slots=True)
class ComparedPage:
    """What a page has compared; `next` is where the next page begins.

    `carts` are the owners of the compared carts, and `suspects` those of carts that differ, both in
    order. `stores` are the completed ones. `cached_alone` are suspects of users without a cart
    whose cart is cached; they are found once for each store.
    """

    carts: list[Suspect] = field(default_factory=list)
    users: int = 0
    stores: list[str] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    cached_alone: list[Suspect] = field(default_factory=list)
    next: Position | None = None

    def cut(self, room: int, begin: Position | None) -> None:
        """Ends the page with its `room`-th suspect, if it has more. It began at `begin`."""
        if len(self.suspects) <= room:
            return
        self.suspects = self.suspects[:room]
        last = self.suspects[-1] if self.suspects else None
        if last is None:
            self.next = begin
            self.carts, self.stores = [], []
            return
        in_first = begin is not None and begin.store_id == last.store_id
        self.next = Position(
            store_id=last.store_id,
            user_id=last.user_id,
            cursor=begin.cursor if begin is not None and in_first else None,
        )
        end = (last.store_id, last.user_id)
        self.carts = [one for one in self.carts if (one.store_id, one.user_id) <= end]
        self.stores = [store for store in self.stores if store < last.store_id]


class ReconcileActivities:
    """Activities on all systems that store something about carts. `repair` runs a cart's saga."""

    def __init__(
        self,
        operations: OperationStore,
        books: CartBooks,
        inventory: InventoryClient,
        cache: CartCache,
        findings: FindingStore,
        *,
        repair: Repair,
        reserving: Reserving,
        caching: bool,
    ) -> None:
        self._operations = operations
        self._books = books
        self._inventory = inventory
        self._cached = CachedCarts(cache, books)
        self._findings = findings
        self._repair = repair
        self._reserving = reserving
        self._caching = caching

    @activity.defn(name="reconcile_page")
    async def reconcile_page(self, page: ReconcilePage) -> ReconciledPage:
        """Compares the next carts without locks, looks again at those that differ under their
        locks, and stores what is found there.

        A retry reads earlier repairs from their records.
        """
        async with heartbeats():
            with as_application_error():
                return await self._reconcile(page)

    async def _reconcile(self, page: ReconcilePage) -> ReconciledPage:
        compared = await self._compare_page(
            page.store_id, page.share, page.position, page.stuck_before
        )
        alone = compared.cached_alone[: page.room]
        compared.cut(page.room - len(alone), page.position)
        suspects = (*alone, *compared.suspects)
        looks = await self.look_at(
            LookAgain(
                suspects=suspects,
                name=page.run,
                reason=page.reason,
                fix=page.fix,
                stuck_before=page.stuck_before,
                actor=page.actor,
            )
        )
        found = [look for look in looks if look]
        for findings in found:
            await self._findings.keep(page.run, findings)
        drifts = [finding.drift for findings in found for finding in findings]
        return ReconciledPage(
            stores=len(compared.stores),
            carts=len(compared.carts),
            suspected=len(suspects),
            busy=looks.count(None),
            drifting=len(found),
            drifts=len(drifts),
            left=sum(drift.done is None for drift in drifts),
            next=compared.next,
            capped=len(alone) < len(compared.cached_alone),
        )

    async def compare_holds(
        self, share: Share, position: Position | None
    ) -> tuple[int, list[Suspect], Position | None]:
        """Compares the next carts and reservations of a share of all stores, without locks.

        Returns the number of carts, the suspects, and where the next page begins.
        """
        page = await self._compare_page(None, share, position, None)
        return len(page.carts), page.suspects, page.next

    async def _compare_page(
        self,
        store_id: str | None,
        share: Share,
        position: Position | None,
        stuck_before: datetime | None,
    ) -> ComparedPage:
        """Compares one store after the other until the page is full.

        Takes no locks, so a difference may be an operation in progress.
        """
        page = ComparedPage()
        async with aclosing(self._positions(store_id, share, position)) as positions:
            async for beginning in positions:
                if page.users >= PAGE or len(page.stores) == STORES:
                    page.next = beginning
                    break
                await self._compare(page, beginning, stuck_before)
                if page.next is not None:
                    break
                page.stores.append(beginning.store_id)
        return page

    async def _positions(
        self, only_store: str | None, share: Share, position: Position | None
    ) -> AsyncGenerator[Position, None]:
        """The beginning of the page, then the beginning of each following store."""
        if position is not None:
            yield position
        elif only_store is not None:
            yield Position(store_id=only_store)
        if only_store is None:
            after = position.store_id if position else ""
            async for store_id in self._books.stores(after, share=share):
                yield Position(store_id=store_id)

    async def _compare(
        self, page: ComparedPage, position: Position, stuck_before: datetime | None
    ) -> None:
        """Compares the next users of a store until the page is full.

        Compares pending effects and the cache only with `stuck_before`.
        """
        store_id = position.store_id
        reserving = await self._reserving(store_id)
        carts: list[BriefCart] = []
        suspects: set[str] = set()
        last, cursor = position.user_id, position.cursor
        users = self._users(position, stuck_before)
        async for user_id, cart, holding, is_stuck in users:
            if page.users == PAGE:
                page.next = Position(store_id=store_id, user_id=last, cursor=cursor)
                break
            page.users, last = page.users + 1, user_id
            if cart is not None:
                carts.append(cart)
            if holding is not None:
                cursor = holding.cursor
            wanted = cart.held if cart else {}
            held = holding.units if holding else {}
            if is_stuck or hold_drifts(wanted, held, unsettled=(), reserving=reserving):
                suspects.add(user_id)
        if stuck_before is not None and self._caching:
            suspects |= await self._cached.stale(store_id, carts)
            if not position.user_id:  # once for each store
                alone = await self._cached.without_cart(store_id, limit=PAGE)
                page.users += len(alone)
                page.cached_alone += _suspects(store_id, alone - suspects)
        page.carts += _suspects(store_id, (cart.user_id for cart in carts))
        page.suspects += _suspects(store_id, suspects)

    async def _users(
        self, position: Position, stuck_before: datetime | None
    ) -> AsyncIterator[tuple[str, BriefCart | None, Holding | None, bool]]:
        """All users of a store with a cart, reservations or a stuck effect, by user."""
        store_id, after = position.store_id, position.user_id
        carts = self._books.carts(store_id, after=after)
        holdings = self._holdings(position)
        stuck = (
            self._books.stuck(store_id, after=after, before=stuck_before)
            if stuck_before is not None
            else _no_users()
        )
        cart, holding = await anext(carts, None), await anext(holdings, None)
        waiting = await anext(stuck, None)
        while cart is not None or holding is not None or waiting is not None:
            users = [one.user_id for one in (cart, holding) if one is not None]
            user_id = min([*users, waiting] if waiting is not None else users)
            its_cart = cart if cart and cart.user_id == user_id else None
            its_holding = holding if holding and holding.user_id == user_id else None
            is_stuck = waiting == user_id
            yield user_id, its_cart, its_holding, is_stuck
            if its_cart is not None:
                cart = await anext(carts, None)
            if its_holding is not None:
                holding = await anext(holdings, None)
            if is_stuck:
                waiting = await anext(stuck, None)

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
        for drift in drifts:
            logger.warning(
                "drift_found",
                message=f"Drift: {drift.kind}: {drift.detail}",
                storeId=suspect.store_id,
                userId=suspect.user_id,
                done=drift.done,
            )
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


async def _no_users() -> AsyncIterator[str]:
    users: tuple[str, ...] = ()
    for user_id in users:
        yield user_id


def _suspects(store_id: str, user_ids: Iterable[str]) -> list[Suspect]:
    return [Suspect(store_id=store_id, user_id=user_id) for user_id in sorted(user_ids)]
