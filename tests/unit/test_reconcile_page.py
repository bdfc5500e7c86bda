"""A page of reconciling: which carts are looked at again, and what the page reports of them."""

from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from temporalio.testing import ActivityEnvironment

from activities.upkeep import reconcile
from activities.upkeep.reconcile import ReconcileActivities
from adapters.mongo.reconcile import BriefCart
from adapters.redis.cart_cache import CachedCart
from models.actor import Actor, ActorType
from models.drift import Drift, DriftKind
from models.errors import DependencyUnavailable, OperationInProgress
from models.outcomes import OperationResult, Outcome, StoredAnswer
from models.runners import Share
from models.upkeep.reconcile import (
    Finding,
    LookAgain,
    Position,
    ReconciledPage,
    ReconcilePage,
    ReservationPage,
    ReservedUnits,
    Suspect,
)
from tests.fakes.api import FakeMongo, record_of, result_of

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
ALL = Share(runner=0, runners=1)
DRIFT = Drift(kind=DriftKind.ORPHANED_HOLD, product_id="lamp", found=1, detail="1 held, 0 wanted")

Units = dict[str, dict[str, dict[str, int]]]
"""Store -> user -> product -> units."""


class FakeSystems:
    """Carts, reservations (two users a page) and cached carts of stores."""

    def __init__(self, carts: Units, held: Units) -> None:
        self.in_carts, self.held = carts, held
        self.stuck_users: list[str] = []
        self.cached: list[str] = []
        self.kept: list[Finding] = []

    async def stores(self, after: str = "", *, share: Share) -> AsyncIterator[str]:
        assert share == ALL
        for store in sorted({*self.in_carts, *self.held}):
            if store > after:
                yield store

    async def carts(self, store: str, *, after: str) -> AsyncIterator[BriefCart]:
        for user, units in sorted(self.in_carts.get(store, {}).items()):
            if user > after:
                yield BriefCart(user, units)

    async def stuck(self, _: str, *, after: str, before: datetime) -> AsyncIterator[str]:
        assert before == NOW
        for user in self.stuck_users:
            if user > after:
                yield user

    async def reservations(self, store: str, *, cursor: str | None) -> ReservationPage:
        users = sorted(self.held.get(store, {}))
        first = int(cursor or 0)
        rows = tuple(
            ReservedUnits(user_id=user, product_id=product, quantity=quantity)
            for user in users[first : first + 2]
            for product, quantity in self.held[store][user].items()
        )
        more = first + 2 < len(users)
        return ReservationPage(reservations=rows, cursor=str(first + 2) if more else None)

    async def whole(self, *_: Any) -> list[Any]:
        return []

    async def users_with_cart(self, store: str, users: Collection[str]) -> set[str]:
        return {*users} & self.in_carts.get(store, {}).keys()

    async def peek(self, _: str, users: Collection[str]) -> list[CachedCart | None]:
        return [None for _ in users]

    async def cached_users(self, _: str, *, limit: int) -> list[str]:
        assert limit
        return self.cached

    async def keep(self, run: str, findings: list[Finding]) -> None:
        assert run == "run-1"
        self.kept += findings


class Reconciling:
    """The activities over these systems. `ends` are the ends of repairs, by user."""

    def __init__(self, carts: Units, held: Units, *, caching: bool = False) -> None:
        self.systems = FakeSystems(carts, held)
        self.records = FakeMongo()
        self.ends: dict[str, OperationResult | Exception] = {}
        self.looked_at: list[str] = []
        system = cast(Any, self.systems)
        self.activities = ReconcileActivities(
            cast(Any, self.records),
            system,
            system,
            system,
            system,
            repair=self._repair,
            reserving=self._reserving,
            caching=caching,
        )

    async def _repair(self, suspect: Suspect, request: LookAgain) -> OperationResult:
        assert request.reason == "reconcile"
        self.looked_at.append(suspect.user_id)
        end = self.ends.get(suspect.user_id, result_of(Outcome.UNCHANGED, drifts=()))
        if isinstance(end, Exception):
            raise end
        return end

    async def _reserving(self, _: str) -> bool:
        return True

    async def page(
        self, *, position: Position | None = None, room: int = 100, store: str | None = None
    ) -> ReconciledPage:
        request = ReconcilePage(
            store_id=store,
            share=ALL,
            position=position,
            stuck_before=NOW,
            run="run-1",
            reason="reconcile",
            fix=False,
            room=room,
            actor=Actor(type=ActorType.OPERATOR, id="grace"),
        )
        page: ReconciledPage = await ActivityEnvironment().run(
            self.activities.reconcile_page, request
        )
        return page


def users(*names: str) -> dict[str, dict[str, int]]:
    return {name: {"lamp": 1} for name in names}


async def test_only_carts_that_differ_are_looked_at_again() -> None:
    carts = {"a": users("ada", "bob", "dan"), "b": users("eve")}
    held = {"a": users("ada", "cleo", "dan"), "b": users("eve", "fay")}
    ran = Reconciling(carts, held)
    ran.systems.stuck_users = ["ada"]
    page = await ran.page()
    assert sorted(set(ran.looked_at)) == ["ada", "bob", "cleo", "fay"]
    assert (page.stores, page.carts, page.next) == (2, 4, None)
    assert (page.drifting, page.drifts, page.busy) == (0, 0, 0)


async def test_a_store_can_be_compared_alone() -> None:
    ran = Reconciling({"a": users("ada"), "b": users("bob")}, {})
    page = await ran.page(store="b")
    assert (ran.looked_at, page.stores, page.carts) == (["bob"], 1, 1)


async def test_drifts_are_stored_and_counted_with_those_that_are_left() -> None:
    ran = Reconciling({"a": users("ada", "bob")}, {})
    repaired = DRIFT.model_copy(update={"done": "released"})
    ran.ends = {"ada": result_of(Outcome.COMMITTED, drifts=(DRIFT, repaired))}
    page = await ran.page()
    assert (page.suspected, page.drifting, page.drifts, page.left) == (2, 1, 2, 1)
    assert [(one.user_id, one.drift) for one in ran.systems.kept] == [
        ("ada", DRIFT),
        ("ada", repaired),
    ]


@pytest.mark.parametrize("end", [OperationInProgress("cart/a/ada"), result_of(Outcome.REJECTED)])
async def test_a_cart_that_cannot_be_checked_is_busy_and_stops_no_other(
    end: OperationResult | Exception,
) -> None:
    ran = Reconciling({"a": users("ada", "bob")}, {})
    ran.ends = {"ada": end, "bob": result_of(Outcome.UNCHANGED, drifts=(DRIFT,))}
    page = await ran.page()
    assert (page.busy, page.drifting) == (1, 1)


async def test_an_outage_fails_the_page_so_that_it_is_tried_again() -> None:
    ran = Reconciling({"a": users("ada")}, {})
    ran.ends = {"ada": DependencyUnavailable("temporal", "down")}
    with pytest.raises(Exception, match="temporal is unavailable: down"):
        await ran.page()


async def test_a_retry_reads_what_an_earlier_repair_has_recorded() -> None:
    """Its result in Temporal has no report."""
    ran = Reconciling({"a": users("ada")}, {})
    body = f'{{"drifts":[{DRIFT.model_dump_json()}]}}'
    ran.records.records = [record_of(answer=StoredAnswer(status=200, body=body))]
    ran.ends = {"ada": result_of(Outcome.REPLAYED)}
    assert (await ran.page()).drifts == 1
    ran.records.records = []  # it is older than records are kept
    assert (await ran.page()).drifts == 0


async def test_a_page_without_room_continues_with_the_rest() -> None:
    ran = Reconciling({"a": users("ada", "bob", "cleo"), "b": users("dan")}, {})
    first = await ran.page(room=2)
    assert (ran.looked_at, first.carts) == (["ada", "bob"], 2)
    second = await ran.page(position=first.next)
    assert ran.looked_at == ["ada", "bob", "cleo", "dan"]
    assert (first.stores + second.stores, first.carts + second.carts) == (2, 4)


async def test_a_full_page_continues_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it ends amid the pages of the inventory: no user is left out or compared twice."""
    monkeypatch.setattr(reconcile, "PAGE", 3)
    names = [f"user-{number}" for number in range(8)]
    ran = Reconciling({"a": users(*names[::2])}, {"a": users(*names[1::2])})
    pages = [await ran.page()]
    while pages[-1].next is not None:
        pages.append(await ran.page(position=pages[-1].next))
    assert (ran.looked_at, sum(page.carts for page in pages)) == (names, 4)
    # The inventory's pages are not read again from the first one.
    assert [page.next and page.next.cursor for page in pages] == [None, "2", None]


async def test_a_page_ends_after_so_many_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "STORES", 2)
    ran = Reconciling({store: users(f"user-{store}") for store in "abc"}, {})
    page = await ran.page()
    assert (page.stores, page.next) == (2, Position(store_id="c"))


async def test_cached_carts_without_a_stored_one_are_found_once_and_within_the_limit() -> None:
    ran = Reconciling({"a": users("ada")}, {"a": users("ada")}, caching=True)
    ran.systems.cached = ["ada", "bob", "cleo"]
    page = await ran.page(room=1)
    assert (ran.looked_at, page.capped) == (["bob"], True)
    page = await ran.page(position=Position(store_id="a", user_id="ada"))
    assert (ran.looked_at, page.capped) == (["bob"], False)


async def test_the_watch_compares_holds_without_effects_and_cache() -> None:
    ran = Reconciling({"a": users("ada", "bob")}, {"a": users("bob")}, caching=True)
    ran.systems.cached, ran.systems.stuck_users = ["cleo"], ["dan"]
    carts, suspects, position = await ran.activities.compare_holds(ALL, None)
    assert (carts, position) == (2, None)
    assert suspects == [Suspect(store_id="a", user_id="ada")]
