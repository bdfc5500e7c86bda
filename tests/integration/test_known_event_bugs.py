"""Builds with one known bug each in the handling of events: the checks detect each bug.

The correct build passes the same checks in the same scenario.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka import consumer as event_consumer
from adapters.kafka.partition_tasks import PartitionTasks
from dev.stack.stack import Stack
from models.events import CART_ITEM_OUT_OF_STOCK, ORDER_COMPLETED
from models.incoming import ConsumedMessage
from models.operations import ApplyOrder
from tests.kafka.test_consumer import Group, RecordingIntake, all_taken
from tests.support.events import OtherServices
from tests.support.raw_batches import LATIN_1, RawRecord, batch, produce
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from tests.unit.test_incoming import message
from workflows import event_handler, event_operations, ids
from workflows.event_handler import EventHandler

SECONDS = 3.0
"""The time that a buggy build has for something that it never does."""


async def an_order(shop: Shop, **more: Any) -> tuple[Buyer, dict[str, Any]]:
    """A buyer with three headphones and a later lamp, and the body of an order."""
    await shop.stock("headphones", 10)
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    cart_id = (await buyer.add(quantity=3)).json()["_id"]
    assert (await buyer.add("lamp")).status_code == 201
    order = {
        "cartId": cart_id,
        "userId": buyer.user_id,
        "storeId": shop.store_id,
        "orderId": f"order-{buyer.user_id}",
    }
    return buyer, order | more


async def sold(shop: Shop) -> tuple[int, int]:
    """The sold headphones and lamps once no effect is pending."""

    async def quiet() -> tuple[int, int]:
        assert not any(record.pending for record in await shop.records())
        return (await shop.units("headphones"))[2], (await shop.units("lamp"))[2]

    return await eventually(quiet)


@pytest.mark.parametrize("is_bad", [False, True])
async def test_an_event_sold_twice_is_detected_in_a_build_with_ids_from_the_clock(
    shop: Shop, handler: EventHandler, monkeypatch: pytest.MonkeyPatch, is_bad: bool
) -> None:
    if is_bad:
        clock = count()
        good = ids.event_operation_id
        monkeypatch.setattr(ids, "event_operation_id", lambda *a: good(f"{next(clock)}", *a[1:]))
    _, order = await an_order(shop, items=[{"productId": "headphones", "quantity": 1}])
    for _ in range(2):
        await handler.take(message(order))
    assert await sold(shop) == ((2, 0) if is_bad else (1, 0))


@pytest.mark.parametrize("is_bad", [False, True])
async def test_lines_added_after_an_order_are_lost_in_a_build_that_ignores_its_version(
    shop: Shop, handler: EventHandler, monkeypatch: pytest.MonkeyPatch, is_bad: bool
) -> None:
    if is_bad:
        good: Callable[..., ApplyOrder] = event_operations.apply_order

        def apply_all(*args: Any) -> ApplyOrder:
            order = good(*args)
            whole = order.request.model_copy(update={"cart_version": None})
            return order.model_copy(update={"request": whole})

        monkeypatch.setattr(event_handler, "apply_order", apply_all)
    buyer, order = await an_order(shop, cartVersion=1)
    await handler.take(message(order))
    assert await sold(shop) == ((3, 1) if is_bad else (3, 0))
    assert (await buyer.cart() is None) is is_bad


async def _undecoded(
    consumer: AIOKafkaConsumer, *partitions: TopicPartition, timeout_ms: int
) -> dict[TopicPartition, list[ConsumedMessage]]:
    """The messages as aiokafka decodes them."""
    found = await consumer.getmany(*partitions, timeout_ms=timeout_ms)
    return {
        partition: [
            ConsumedMessage(
                topic=partition.topic,
                partition=partition.partition,
                offset=one.offset,
                key=one.key,
                value=one.value,
                headers=tuple(one.headers),
                timestamp=one.timestamp,
            )
            for one in records
        ]
        for partition, records in found.items()
    }


@pytest.mark.parametrize("is_bad", [False, True])
async def test_all_topics_stop_in_a_build_that_decodes_before_it_handles(
    stack: Stack, others: OtherServices, monkeypatch: pytest.MonkeyPatch, is_bad: bool
) -> None:
    if is_bad:
        monkeypatch.setattr(event_consumer, "message_consumer", AIOKafkaConsumer)
        monkeypatch.setattr(event_consumer, "messages", _undecoded)
    group, port = Group(stack.settings, others), stack.settings.kafka_port
    notes = RecordingIntake(group.prefix)
    await produce(port, ORDER_COMPLETED, 0, batch(RawRecord(b"{}", b"key", LATIN_1)))
    await group.send(group.lanes(1), range(3), CART_ITEM_OUT_OF_STOCK)
    taken = all_taken([notes], group.lanes(1), 3)
    if is_bad:
        with pytest.raises(UnicodeDecodeError):
            async with group.member(notes):
                await eventually(taken, timeout=SECONDS)
    else:
        async with group.member(notes):
            await eventually(taken, timeout=30)


class _EarlyCommits(PartitionTasks):
    """Reports everything received as committable."""

    @property
    def committable(self) -> int | None:
        return self._end


@pytest.mark.parametrize("is_bad", [False, True])
async def test_a_message_is_lost_in_a_build_that_commits_offsets_too_early(
    stack: Stack, others: OtherServices, monkeypatch: pytest.MonkeyPatch, is_bad: bool
) -> None:
    if is_bad:
        monkeypatch.setattr(event_consumer, "PartitionTasks", _EarlyCommits)
    monkeypatch.setattr(event_consumer, "REVOKE_SECONDS", 0.1)
    monkeypatch.setattr(event_consumer, "DRAIN_SECONDS", 0.1)
    group = Group(stack.settings, others)
    dies, next_one = (
        RecordingIntake(group.prefix, gate=asyncio.Event()),
        RecordingIntake(group.prefix),
    )
    [lane] = group.lanes(1)
    async with group.member(dies):
        await group.send([lane], range(3), ORDER_COMPLETED)

        async def under_way() -> None:
            assert dies.under_way == 1

        await eventually(under_way, timeout=30)
    async with group.member(next_one):
        taken = all_taken([next_one], [lane], 3)
        if is_bad:
            with pytest.raises(AssertionError):
                await eventually(taken, timeout=SECONDS)
        else:
            await eventually(taken, timeout=30)
