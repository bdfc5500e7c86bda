"""Steps of a saga on Kafka, the inventory and Redis: what is retried, and what is noted as done."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.cache import CacheActivities
from activities.events import EventActivities
from activities.inventory import InventoryActivities
from adapters.keyring import MAC_CHARACTERS
from adapters.mongo.operations import Decision
from adapters.redis.answers import ReplyMessage
from models.cart import CartKey
from models.effects import AnyEffect, EventEffect, ReleaseEffect
from models.errors import DependencyTimeout, DependencyUnavailable, NotSent
from models.outcomes import OperationResult, Outcome, StoredAnswer
from models.saga import ReplyTo, SagaRun
from models.steps import (
    DoEffects,
    RefreshCache,
    ReplyToCaller,
    Reservation,
    ReserveInventory,
)
from tests.fakes.api import RECORD_ID, RUN_ID, STORE, USER, cart_of, record_of, result_of
from tests.support.actors import SHOPPER
from tests.support.keys import KEYRING

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
SAGA = SagaRun(
    run_id=RUN_ID,
    record_id=RECORD_ID,
    saga_id="cart-1-user-1-product-1",
    started_at=NOW,
    operation="AddItem",
    operation_id="0" * 32,
    fingerprint="f",
    store_id=STORE,
    user_id=USER,
    actor=SHOPPER,
)
KEY = CartKey(STORE, USER)
ADDED = EventEffect(id="e-1", topic="cart.item.added", key="cart-1", value="{}", time=NOW)
CHANGED = ADDED.model_copy(update={"id": "e-2"})
LAMP = ReleaseEffect(id="r-1", product_id="lamp", quantity=1, saga_id="saga", reason="removed")
MUG = LAMP.model_copy(update={"id": "r-2", "product_id": "mug"})
REPLY_TO = ReplyTo(channel="cart:answers:api-1", attempt_id="attempt-1")
UNSENT = NotSent("inventory", "the circuit is open")


class FakeMongo:
    """The saga's record; `earlier` events of its cart are pending."""

    def __init__(self, *effects: AnyEffect, version: int = 3) -> None:
        self.record = record_of(effects=list(effects), version=version)
        self.cart: Any = cart_of()
        self.earlier = False
        self.done: list[str] = []
        self.registered: list[str] = []

    async def decision(self, _: SagaRun) -> Decision:
        return Decision(self.record, self.cart, self.record.answer)

    async def has_earlier_events(self, cart: CartKey, *, record_id: str) -> bool:
        assert (cart, record_id) == (KEY, RECORD_ID)
        return self.earlier

    async def mark_done(
        self, _: Any, effects: Sequence[AnyEffect], __: datetime, *, lasting: bool
    ) -> None:
        assert not lasting  # an effect can be done again, so the write need not outlive a failover
        self.done += [effect.id for effect in effects]

    async def register(self, store_id: str) -> None:
        self.registered.append(store_id)


class FakeTarget:
    """Kafka, the inventory and Redis. `fails` is raised by each call about a name in it."""

    def __init__(self, **fails: Exception) -> None:
        self.fails = fails
        self.published: list[str] = []
        self.released: list[str] = []
        self.moved: list[str | None] = []
        self.dropped_stock: set[str] = set()
        self.cached: dict[int, bytes] = {}
        self.dropped: list[int] = []
        self.stale: list[str] = []
        self.replies: list[ReplyMessage] = []
        self.answers: list[Reservation | Exception] = []

    def _call(self, name: str) -> None:
        if name in self.fails:
            raise self.fails[name]

    async def publish(self, events: Sequence[EventEffect]) -> None:
        self._call("kafka")
        self.published += [event.id for event in events]

    async def release(self, _: str, __: str, release: ReleaseEffect, *, timeout: float) -> None:
        assert timeout
        self._call(release.product_id)
        self.released.append(release.product_id)

    async def drop_stock(self, _: str, products: set[str]) -> None:
        self.dropped_stock |= products

    async def reserve(self, _: ReserveInventory) -> Reservation:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def transfer(self, request: ReserveInventory) -> Reservation:
        self.moved.append(request.from_user_id)
        return Reservation(granted=True)

    async def put(
        self,
        _: CartKey,
        *,
        version: int,
        body: bytes,
        stale_products: Collection[str] = (),
        reply: ReplyMessage | None = None,
    ) -> None:
        self.cached[version] = body
        self.stale += stale_products
        await self.announce(reply)

    async def drop(self, _: CartKey, *, version: int, reply: ReplyMessage | None = None) -> None:
        self.dropped.append(version)
        await self.announce(reply)

    async def announce(self, reply: ReplyMessage | None, _: CartKey | None = None) -> None:
        self.replies += [reply] if reply is not None else []


class FakeStock:
    def __init__(self, target: FakeTarget) -> None:
        self.drop = target.drop_stock


def events_of(target: FakeTarget, mongo: FakeMongo) -> EventActivities:
    return EventActivities(cast(Any, target), cast(Any, mongo), cast(Any, mongo))


def inventory_of(target: FakeTarget, mongo: FakeMongo) -> InventoryActivities:
    store = cast(Any, mongo)
    stock = cast(Any, FakeStock(target))
    return InventoryActivities(cast(Any, target), store, store, stock, store)


def cache_of(target: FakeTarget, mongo: FakeMongo) -> CacheActivities:
    return CacheActivities(cast(Any, target), cast(Any, mongo), KEYRING)


async def run(step: Any, request: Any, *, attempt: int = 1) -> Any:
    environment = ActivityEnvironment()
    environment.info = replace(ActivityEnvironment.default_info(), attempt=attempt)
    return await environment.run(step, request)


async def test_a_sagas_events_are_published_in_order_and_noted() -> None:
    target, mongo = FakeTarget(), FakeMongo(ADDED, LAMP, CHANGED)
    await run(events_of(target, mongo).publish_event, DoEffects(saga=SAGA))
    assert target.published == mongo.done == ["e-1", "e-2"]


async def test_events_that_kafka_has_not_acknowledged_stay_pending() -> None:
    target, mongo = FakeTarget(kafka=DependencyUnavailable("kafka", "no leader")), FakeMongo(ADDED)
    with pytest.raises(ApplicationError, match="kafka is unavailable: no leader"):
        await run(events_of(target, mongo).publish_event, DoEffects(saga=SAGA))
    assert mongo.done == []


async def test_an_event_never_overtakes_an_earlier_one_of_its_cart() -> None:
    target, mongo = FakeTarget(), FakeMongo(ADDED)
    mongo.earlier = True
    with pytest.raises(ApplicationError) as failed:
        await run(events_of(target, mongo).publish_event, DoEffects(saga=SAGA))
    assert (failed.value.type, target.published, mongo.done) == ("EarlierEventsPending", [], [])


async def test_released_units_are_noted_and_no_longer_cached_as_stock() -> None:
    target, mongo = FakeTarget(), FakeMongo(LAMP, MUG)
    await run(inventory_of(target, mongo).release_inventory, DoEffects(saga=SAGA))
    assert sorted(target.released) == ["lamp", "mug"]
    assert (mongo.done, target.dropped_stock) == (["r-1", "r-2"], {"lamp", "mug"})


async def test_one_failed_release_leaves_all_of_the_record_to_the_next_try() -> None:
    target = FakeTarget(mug=DependencyUnavailable("inventory", "answered 500"))
    mongo = FakeMongo(LAMP, MUG)
    with pytest.raises(ApplicationError, match="answered 500"):
        await run(inventory_of(target, mongo).release_inventory, DoEffects(saga=SAGA))
    assert mongo.done == []


def reserving(**changed: Any) -> ReserveInventory:
    values = {"store_id": STORE, "product_id": "lamp", "user_id": USER, "saga_id": "saga"}
    return ReserveInventory(quantity=2, **(values | changed))


@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        (DependencyTimeout("inventory", "no answer in 2 s"), True),
        (DependencyUnavailable("inventory", "answered 503"), False),
    ],
)
async def test_only_a_reserve_without_an_answer_is_not_tried_again(
    error: DependencyUnavailable, *, is_final: bool
) -> None:
    """After a timeout the caller has waited for long enough."""
    target = FakeTarget()
    target.answers = [error]
    with pytest.raises(ApplicationError) as failed:
        await run(inventory_of(target, FakeMongo()).reserve_inventory, reserving())
    assert (failed.value.non_retryable, failed.value.details) == (is_final, ("inventory",))


async def test_a_store_is_known_before_units_are_reserved_in_it() -> None:
    target, mongo = FakeTarget(), FakeMongo()
    target.answers = [DependencyUnavailable("inventory", "answered 503")]
    with pytest.raises(ApplicationError):
        await run(inventory_of(target, mongo).reserve_inventory, reserving())
    assert mongo.registered == [STORE]


REFUSED = Reservation(granted=False, available=1)
LOST = DependencyUnavailable("inventory", "connection reset")


@pytest.mark.parametrize(
    ("earlier", "nothing_held"),
    [((), True), ((UNSENT,), True), ((UNSENT, UNSENT), True), ((LOST,), False)],
)
async def test_a_refusal_says_whether_an_earlier_try_can_have_reserved_units(
    earlier: tuple[Exception, ...], *, nothing_held: bool
) -> None:
    """Only then must the saga release what it may hold."""
    target = FakeTarget()
    target.answers = [*earlier, REFUSED]
    step = inventory_of(target, FakeMongo()).reserve_inventory
    for attempt, _ in enumerate(earlier, start=1):
        with pytest.raises(ApplicationError):
            await run(step, reserving(), attempt=attempt)
    reservation = await run(step, reserving(), attempt=len(earlier) + 1)
    assert (reservation.granted, reservation.nothing_held) == (False, nothing_held)


@pytest.mark.parametrize(
    ("earlier", "type_"), [(UNSENT, "NotSent"), (LOST, "DependencyUnavailable")]
)
async def test_a_try_that_was_not_sent_tells_nothing_of_an_earlier_one(
    earlier: Exception, type_: str
) -> None:
    target = FakeTarget()
    target.answers = [earlier, UNSENT]
    step = inventory_of(target, FakeMongo()).reserve_inventory
    for attempt in (1, 2):
        with pytest.raises(ApplicationError) as failed:
            await run(step, reserving(), attempt=attempt)
    assert failed.value.type == type_


async def test_a_try_on_another_worker_counts_as_sent() -> None:
    """This worker does not know what became of the first."""
    target = FakeTarget()
    target.answers = [REFUSED]
    step = inventory_of(target, FakeMongo()).reserve_inventory
    assert not (await run(step, reserving(), attempt=2)).nothing_held


async def test_units_of_a_guest_are_moved_and_not_reserved_again() -> None:
    target = FakeTarget()
    request = reserving(from_user_id="guest-1")
    assert (await run(inventory_of(target, FakeMongo()).transfer_inventory, request)).granted
    assert target.moved == ["guest-1"]


def refresh(*, cache: bool = True, reply_to: ReplyTo | None = REPLY_TO) -> RefreshCache:
    return RefreshCache(saga=SAGA, cache=cache, products=("lamp",), reply_to=reply_to)


async def test_a_committed_cart_is_cached_as_its_reader_sees_it_and_the_caller_is_answered() -> (
    None
):
    target, mongo = FakeTarget(), FakeMongo()
    await run(cache_of(target, mongo).refresh_cache, refresh())
    body = target.cached[3]
    assert body.startswith(b'{"_id":"507f1f77bcf86cd799439013"')
    assert b"secret@example.com" not in body
    assert target.stale == ["lamp"]
    [reply] = target.replies
    assert reply.channel == REPLY_TO.channel
    assert mongo.record.answer is not None
    assert reply.payload.endswith(b'\n{"quantity":2,"totalPrice":159.90}')


async def test_a_cleared_cart_leaves_the_cache_in_its_last_version() -> None:
    target, mongo = FakeTarget(), FakeMongo(version=4)
    mongo.cart = None
    await run(cache_of(target, mongo).refresh_cache, refresh())
    assert (target.dropped, target.cached, len(target.replies)) == ([3], {}, 1)


async def test_with_caching_off_the_caller_is_answered_and_nothing_is_cached() -> None:
    target, mongo = FakeTarget(), FakeMongo()
    await run(cache_of(target, mongo).refresh_cache, refresh(cache=False))
    assert (target.cached, target.dropped, len(target.replies)) == ({}, [], 1)


async def test_a_caller_that_does_not_wait_gets_no_reply() -> None:
    target, mongo = FakeTarget(), FakeMongo()
    await run(cache_of(target, mongo).refresh_cache, refresh(reply_to=None))
    assert target.replies == []


async def test_a_refused_operation_is_answered_and_signed_for_its_channel() -> None:
    target = FakeTarget()
    result: OperationResult = result_of(Outcome.REJECTED).model_copy(
        update={"answer": StoredAnswer(status=409, body='{"message":"no"}')}
    )
    step = cache_of(target, FakeMongo()).reply_to_caller
    await run(step, ReplyToCaller(reply_to=REPLY_TO, result=result))
    [reply] = target.replies
    mac, text = reply.payload[:MAC_CHARACTERS], reply.payload[MAC_CHARACTERS:]
    assert KEYRING.is_signed(text, mac, "reply", REPLY_TO.channel)
    assert not KEYRING.is_signed(text, mac, "reply", "cart:answers:another")
    assert text.endswith(b'{"message":"no"}')
