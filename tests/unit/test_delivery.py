"""A batch of a relay: what is sick delays only what it is about."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import pytest

from activities.concurrency import gather_ramped
from activities.delivery import LEAST_AT_ONCE, Delivery, pause_after
from activities.failing import FAILURES, Failing
from models.cart import CartKey
from models.documents import PendingEffects, due_at
from models.effects import AnyEffect, EffectKind, EventEffect, ReleaseEffect
from models.errors import DependencyUnavailable, EffectRefused

NOW = datetime.now(UTC)
STORE = "store"
MOST_TRIES = FAILURES + LEAST_AT_ONCE - 1
"""Calls that are on their way when the limit is reached are not taken back."""


def release(number: int, product_id: str, *, user: str = "", store: str = STORE) -> PendingEffects:
    effect = ReleaseEffect(
        id=f"effect-{number}", product_id=product_id, quantity=1, saga_id="saga", reason="test"
    )
    return record(number, [effect], user=user, store=store)


def event(
    number: int, topic: str = "added", *, user: str = "", partition: int = 0
) -> PendingEffects:
    """The key is the partition, as `FakeTarget` has it."""
    key = str(partition)
    effect = EventEffect(id=f"effect-{number}", topic=topic, key=key, value="{}", time=NOW)
    return record(number, [effect], user=user)


def record(
    number: int, effects: list[AnyEffect], *, user: str = "", store: str = STORE
) -> PendingEffects:
    key = CartKey(store, user or f"user-{number}")
    return PendingEffects(
        _id=f"record-{number}",
        store_id=key.store_id,
        user_id=key.user_id,
        effects=effects,
        due=due_at(key, effects, NOW),
        at=NOW,
    )


class FakeOutbox:
    """Records in the order in which they are stored."""

    def __init__(self, records: Sequence[PendingEffects]) -> None:
        self.records = list(records)
        self.done: list[str] = []
        self.deferred: dict[str, str] = {}
        self.sick: dict[str, Exception] = {}  # users whose records cannot be read

    @property
    def carts(self) -> list[CartKey]:
        return list(dict.fromkeys(record.key for record in self.records))

    async def of_cart(
        self, kind: EffectKind, cart: CartKey, *, before: datetime | None = None
    ) -> list[PendingEffects]:
        if cart.user_id in self.sick:
            raise self.sick[cart.user_id]
        return [
            record
            for record in self.records
            if record.key == cart and (before is None or record.due[kind].at < before)
        ]

    async def mark_done(
        self, _: PendingEffects, effects: Sequence[AnyEffect], __: datetime
    ) -> None:
        self.done += [effect.id for effect in effects]

    async def defer(
        self, _: EffectKind, record: PendingEffects, *, until: datetime, problem: str
    ) -> None:
        assert until > datetime.now(UTC)
        self.deferred[record.id] = problem

    async def postpone(self, *_: Any, **__: Any) -> None: ...


class FakeTarget:
    """The inventory and Kafka in one; `sick` are products, stores, topics and keys that fail."""

    def __init__(self, *sick: str, error: Exception | None = None, seconds: float = 0) -> None:
        self._sick = sick
        self._error = error or DependencyUnavailable("target", "answered 500")
        self._seconds = seconds
        self.calls: list[str] = []
        self.at_once = self.most_at_once = 0

    async def release(self, store: str, _: str, effect: ReleaseEffect, **__: Any) -> None:
        await self._call(effect.id, store, effect.product_id)

    async def publish(self, events: Sequence[EventEffect], **_: Any) -> None:
        await self._call(events[0].id, events[0].topic, events[0].key)

    def partition(self, _: str, key: bytes) -> int:
        return int(key)

    async def drop(self, *_: Any) -> None: ...

    async def _call(self, effect_id: str, *about: str) -> None:
        self.calls.append(effect_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self._seconds)
        self.at_once -= 1
        if set(about) & set(self._sick):
            raise self._error


async def delivered(
    kind: EffectKind, records: Sequence[PendingEffects], target: FakeTarget
) -> tuple[Delivery, FakeOutbox]:
    outbox = FakeOutbox(records)
    adapter = cast(Any, target)
    delivery = Delivery(
        kind, cast(Any, outbox), adapter, adapter, adapter, slots=asyncio.Semaphore(4)
    )
    await delivery.deliver(outbox.carts, before=datetime.now(UTC), deadline=time.monotonic() + 60)
    return delivery, outbox


async def test_a_sick_product_is_tried_a_few_times_and_all_others_are_released() -> None:
    sick = [release(number, "sick") for number in range(50)]
    good = [release(number, f"good-{number % 4}") for number in range(50, 82)]
    target = FakeTarget("sick")
    delivery, outbox = await delivered(EffectKind.RELEASE, [*sick, *good], target)
    assert delivery.done == len(good)
    assert FAILURES <= len(target.calls) - len(good) <= MOST_TRIES
    assert {*outbox.deferred, *delivery.skipped} == {record.id for record in sick}
    assert FAILURES <= len(outbox.deferred) <= MOST_TRIES


async def test_a_sick_store_does_not_hold_up_another_one() -> None:
    sick = [release(number, f"product-{number}", store="sick") for number in range(50)]
    good = [release(number, "lamp") for number in range(50, 60)]
    target = FakeTarget("sick")
    delivery, _ = await delivered(EffectKind.RELEASE, [*sick, *good], target)
    assert delivery.done == len(good)
    assert FAILURES <= len(target.calls) - len(good) <= MOST_TRIES


async def test_a_sick_topic_does_not_hold_up_another_one() -> None:
    records = [event(number, "sick") for number in range(20)]
    records += [event(number, "good") for number in range(20, 40)]
    target = FakeTarget("sick")
    delivery, _ = await delivered(EffectKind.EVENT, records, target)
    assert delivery.done == 20
    assert 20 + FAILURES <= len(target.calls) <= 20 + MOST_TRIES


async def test_a_sick_partition_does_not_hold_up_another_one() -> None:
    records = [event(number, partition=7) for number in range(50)]
    records += [event(number, partition=8) for number in range(50, 60)]
    target = FakeTarget("7")
    delivery, _ = await delivered(EffectKind.EVENT, records, target)
    assert delivery.done == 10
    assert 10 + FAILURES <= len(target.calls) <= 10 + MOST_TRIES


async def test_a_topic_whose_partitions_fail_is_tried_a_few_times() -> None:
    records = [event(number, "sick", partition=number) for number in range(20)]
    target = FakeTarget("sick")
    await delivered(EffectKind.EVENT, records, target)
    assert FAILURES <= len(target.calls) <= MOST_TRIES


async def test_a_dependency_that_is_down_is_called_a_few_times_only() -> None:
    records = [
        release(number, f"product-{number}", store=f"store-{number}") for number in range(200)
    ]
    target = FakeTarget(*(f"store-{number}" for number in range(200)))
    delivery, _ = await delivered(EffectKind.RELEASE, records, target)
    assert (delivery.done, delivery.unavailable) == (0, True)
    assert FAILURES <= len(target.calls) <= MOST_TRIES


@pytest.mark.parametrize("kind", EffectKind)
@pytest.mark.parametrize("error", [DependencyUnavailable("mongodb"), RuntimeError("a defect")])
async def test_a_cart_whose_records_cannot_be_read_holds_up_no_other(
    kind: EffectKind, error: Exception
) -> None:
    make = event if kind is EffectKind.EVENT else partial(release, product_id="lamp")
    target, outbox = FakeTarget(), FakeOutbox([make(number) for number in range(10)])
    outbox.sick = {"user-0": error}
    adapter, slots = cast(Any, target), asyncio.Semaphore(4)
    delivery = Delivery(kind, cast(Any, outbox), adapter, adapter, adapter, slots=slots)
    await delivery.deliver(outbox.carts, before=datetime.now(UTC), deadline=time.monotonic() + 60)
    assert len(target.calls) == delivery.done == 9
    assert delivery.unavailable
    assert delivery.problem is not None
    assert delivery.problem.startswith(f"{STORE}/user-0: ")


async def test_the_later_events_of_a_cart_wait_for_the_one_that_failed() -> None:
    records = [event(1, "sick", user="ada"), event(2, user="ada"), event(3, user="bob")]
    target = FakeTarget("sick")
    _, outbox = await delivered(EffectKind.EVENT, records, target)
    assert target.calls == ["effect-1", "effect-3"]
    assert outbox.done == ["effect-3"]


async def test_the_releases_of_one_record_are_made_in_parallel_and_noted_one_by_one() -> None:
    effects: list[AnyEffect] = [
        ReleaseEffect(id=str(n), product_id=f"p-{n}", quantity=1, saga_id="s", reason="cleared")
        for n in range(100)
    ]
    target = FakeTarget("p-7", seconds=0.01)
    delivery, outbox = await delivered(EffectKind.RELEASE, [record(1, effects)], target)
    assert sorted(outbox.done) == sorted(effect.id for effect in effects if effect.id != "7")
    assert target.most_at_once > 1
    assert delivery.done == 99
    assert list(outbox.deferred) == ["record-1"]


async def test_a_refusal_is_about_one_effect_alone() -> None:
    records = [release(number, "lamp") for number in range(10)]
    target = FakeTarget("lamp", error=EffectRefused("effect", "inventory", "answered 400"))
    delivery, outbox = await delivered(EffectKind.RELEASE, records, target)
    assert len(target.calls) == len(outbox.deferred) == 10
    assert not delivery.unavailable


async def test_calls_begin_few_at_a_time_and_grow_with_success() -> None:
    at_once: list[int] = []
    running = 0

    async def call(_: int) -> bool:
        nonlocal running
        running += 1
        at_once.append(running)
        await asyncio.sleep(0)
        running -= 1
        return True

    await gather_ramped(call, range(200), least=2, most=8)
    assert at_once[:2] == [1, 2]
    assert at_once[2] <= 3
    assert max(at_once) == 8


@pytest.mark.parametrize("attempts", [1, 4, 40])
def test_pauses_double_up_to_a_bound(attempts: int) -> None:
    assert pause_after(attempts, refused=False) <= timedelta(seconds=min(2 ** (attempts - 1), 15))
    assert pause_after(attempts, refused=True) <= timedelta(seconds=min(2 ** (attempts - 1), 300))


def test_a_success_clears_what_it_is_a_part_of() -> None:
    failing = Failing()
    for product in ("a", "b", "c"):
        failing.failed("store", product, "effect")
    assert failing.is_failing("store")
    assert failing.is_failing("store", "d")
    assert not failing.is_failing("another store")
    failing.succeeded("store", "d", "effect")
    assert not failing.is_failing("store")
