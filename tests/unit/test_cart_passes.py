"""Passes over due carts: one bad cart holds up no other, and what was changed is counted."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.upkeep import passes
from activities.upkeep.passes import CartPasses
from activities.waking import RelayWaker
from adapters.mongo.batches import ScheduledChange
from adapters.mongo.cart_scans import CartRef
from adapters.mongo.store_policies import StorePolicies
from models.cart import CartKey
from models.documents import OperationRecord, buckets_of
from models.effects import EffectKind, ReleaseEffect
from models.errors import DependencyUnavailable
from models.limits import Policy
from models.operations import CartOperation
from models.runners import Share
from models.upkeep.passes import PassedPage, PassPage
from tests.fakes.api import STORE, FakeStoreSettings, record_of
from workflows.upkeep.operations import abandonment_of, expiry_of, lapse_of, thaw_of

AT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
SHARDS = 4
RELEASE = ReleaseEffect(
    id="effect", product_id="lamp", quantity=1, saga_id="saga", reason="expired"
)


class FakeMongo:
    """Due carts by number. A transaction fails with a cart in `bad`, and after `left` of them."""

    def __init__(self, carts: int) -> None:
        self.refs = [
            CartRef(f"cart-{number}", CartKey(STORE, f"user-{number}"), AT)
            for number in range(carts)
        ]
        self.bad: set[str] = set()
        self.left = 1_000
        self.wanted: dict[str, Any] = {}
        self.operations: list[CartOperation] = []

    async def due(
        self, *, buckets: Sequence[int], before: datetime, exclude: Collection[str], limit: int
    ) -> list[CartRef]:
        self.wanted = {"buckets": [*buckets], "before": before}
        return [ref for ref in self.refs if ref.cart_id not in exclude][:limit]

    expired = to_lapse = to_thaw = to_abandon = due

    async def change(self, changes: Sequence[ScheduledChange]) -> list[OperationRecord]:
        if not self.left:
            raise DependencyUnavailable("mongodb", "no primary")
        self.left -= 1
        if self.bad & {str(change.operation.references["cart"]) for change in changes}:
            raise ValueError("a line without a price")
        self.operations += [change.operation for change in changes]
        return [
            record_of(
                operation=change.operation.name,
                user_id=change.saga.user_id,
                version=4,
                effects=[RELEASE],
            )
            for change in changes
        ]


class FakeCache:
    def __init__(self) -> None:
        self.dropped: list[tuple[CartKey, int]] = []
        self.down = False

    async def drop_all(self, carts: list[tuple[CartKey, int]]) -> None:
        if self.down:
            raise DependencyUnavailable("redis", "down")
        self.dropped += carts


class Passes:
    """The activities over these carts, and what they have done."""

    def __init__(self, carts: int, *, caching: bool = True) -> None:
        self.mongo = FakeMongo(carts)
        self.cache = FakeCache()
        self.woken: list[tuple[EffectKind, int]] = []
        mongo, cache = cast(Any, self.mongo), cast(Any, self.cache)
        self.activities = CartPasses(
            mongo,
            mongo,
            cache,
            StorePolicies(Policy(), FakeStoreSettings().read_all),
            expire=expiry_of,
            lapse=lapse_of,
            thaw=thaw_of,
            abandon=abandonment_of,
            waker=RelayWaker(self._wake, shards=SHARDS),
            caching=caching,
        )

    async def _wake(self, kind: EffectKind, shard: int) -> None:
        self.woken.append((kind, shard))

    async def page(
        self, step: str = "expire_page", *, left: tuple[str, ...] = (), limit: int = 100
    ) -> PassedPage:
        page = PassPage(before=AT, at=AT, share=Share(runner=1, runners=2), left=left, limit=limit)
        done: PassedPage = await ActivityEnvironment().run(getattr(self.activities, step), page)
        return done


@pytest.mark.parametrize(
    ("step", "operation"),
    [
        ("expire_page", "ClearCart"),
        ("lapse_page", "LapseHolds"),
        ("thaw_page", "CancelCheckout"),
        ("abandon_page", "AbandonCart"),
    ],
)
async def test_each_pass_makes_its_own_change_of_the_carts_of_its_share(
    step: str, operation: str
) -> None:
    ran = Passes(3)
    assert await ran.page(step) == PassedPage(changed=3, left=(), more=False)
    assert [one.name for one in ran.mongo.operations] == [operation] * 3
    assert ran.mongo.wanted == {"buckets": buckets_of(1, 2), "before": AT}


async def test_a_cart_that_cannot_be_changed_is_left_and_all_others_are_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passes, "BATCH", 8)
    ran = Passes(20)
    ran.mongo.bad = {"cart-3", "cart-4", "cart-17"}
    page = await ran.page()
    assert (page.changed, sorted(page.left)) == (17, ["cart-17", "cart-3", "cart-4"])
    again = await ran.page(left=page.left)
    assert (again.changed, again.left) == (17, ())


async def test_a_full_page_says_that_there_may_be_more() -> None:
    assert (await Passes(5).page(limit=5)).more
    assert not (await Passes(4).page(limit=5)).more


async def test_carts_that_were_changed_before_an_outage_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passes, "BATCH", 2)
    ran = Passes(6)
    ran.mongo.left = 2
    assert await ran.page() == PassedPage(changed=4, left=(), more=True)


async def test_a_page_without_mongodb_fails_so_that_it_is_tried_again() -> None:
    ran = Passes(2)
    ran.mongo.left = 0
    with pytest.raises(ApplicationError) as failed:
        await ran.page()
    assert (failed.value.type, failed.value.non_retryable) == ("DependencyUnavailable", False)


async def test_changed_carts_leave_the_cache_and_their_relays_are_woken_once() -> None:
    ran = Passes(40)
    await ran.page()
    assert set(ran.cache.dropped) == {(ref.key, 3) for ref in ran.mongo.refs}
    # Each shard has some of forty carts.
    assert ran.woken == [(EffectKind.RELEASE, shard) for shard in range(SHARDS)]


async def test_a_pass_does_its_work_without_redis_and_without_relays() -> None:
    ran = Passes(2)
    ran.cache.down = True

    async def unavailable(*_: Any) -> None:
        raise DependencyUnavailable("temporal", "down")

    ran.activities._waker.wake = unavailable
    assert (await ran.page()).changed == 2


async def test_without_caching_redis_is_not_called() -> None:
    ran = Passes(2, caching=False)
    assert (await ran.page()).changed == 2
    assert ran.cache.dropped == []


async def test_a_change_keeps_the_order_of_the_carts_events() -> None:
    """Its record is dated just after the cart's latest change, not at the pass."""
    later = AT + timedelta(minutes=5)
    ref = CartRef("cart-1", CartKey(STORE, "user-1"), AT)
    page = PassPage(before=later, at=later, share=Share(runner=0, runners=1), left=(), limit=1)
    change = lapse_of(Policy(), ref, page, "run")
    assert (change.saga.started_at, change.at) == (AT + timedelta(milliseconds=1), later)
