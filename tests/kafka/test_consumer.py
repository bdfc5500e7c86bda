"""The consumer on a real Kafka and on the stack's broker: order, rebalances, repeats, outages.

Here it runs in the test's process, in groups of its own; what its messages do is noted, not done.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from adapters.kafka import consumer as event_consumer
from adapters.kafka.consumer import EventConsumer
from dev.stack.stack import Stack
from models.events import CART_ITEM_OUT_OF_STOCK, ORDER_COMPLETED
from models.incoming import CONSUMED, Message
from settings import Settings
from tests.kafka.test_outages import killed
from tests.support.consumer_under_test import SESSION_MS
from tests.support.events import OtherServices, other_services
from tests.support.waiting import eventually

JOIN_SECONDS = 60.0


@dataclass
class Notes:
    """An intake that notes what it is given of one test's messages, in the order of the lanes."""

    mine: str
    taken: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0
    gate: asyncio.Event | None = None
    received: int = 0
    under_way: int = 0
    most_at_once: int = 0

    def lane(self, message: Message) -> str:
        lane = (message.key or b"").decode()
        self.received += lane.startswith(self.mine)
        return lane

    async def take(self, message: Message) -> None:
        lane = (message.key or b"").decode()
        if not lane.startswith(self.mine):
            return
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(self.seconds)
            self.taken[lane].append(int(message.value or b"0"))
        finally:
            self.under_way -= 1

    def first(self, lane: str) -> list[int]:
        """What was taken of a lane, without repeats."""
        return list(dict.fromkeys(self.taken[lane]))


@dataclass
class Group:
    """A group of consumers of one test."""

    settings: Settings
    others: OtherServices
    prefix: str = field(default_factory=lambda: f"test-{uuid4().hex[:8]}")

    def lanes(self, count: int) -> list[str]:
        return [f"{self.prefix}-{number}" for number in range(count)]

    async def send(self, lanes: list[str], numbers: range, topic: str = ORDER_COMPLETED) -> None:
        for number in numbers:
            for lane in lanes:
                await self.others.send(topic, str(number).encode(), key=lane)

    @asynccontextmanager
    async def member(self, notes: Notes, group_id: str = "") -> AsyncIterator[EventConsumer]:
        """Consumes inside; its end is an orderly one."""
        settings = self.settings.model_copy(update={"kafka_group_id": group_id or self.prefix})
        stopping = asyncio.Event()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(event_consumer, "SESSION_MS", SESSION_MS)
            consumer = EventConsumer(settings, CONSUMED, notes)
        running = asyncio.create_task(consumer.run(stopping))
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await consumer.joined.wait()
            yield consumer
        finally:
            stopping.set()
            await running


@pytest.fixture
async def group(kafka: Settings) -> AsyncIterator[Group]:
    async with other_services(kafka) as others:
        yield Group(kafka, others)


def all_taken(notes: list[Notes], lanes: list[str], count: int) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        for lane in lanes:
            taken = {number for each in notes for number in each.taken[lane]}
            assert taken == set(range(count))

    return check


async def test_a_cart_is_in_order_and_carts_go_at_once(group: Group) -> None:
    notes, lanes = Notes(group.prefix, seconds=0.01), group.lanes(12)
    async with group.member(notes):
        await group.send(lanes, range(8))
        await eventually(all_taken([notes], lanes, 8), timeout=30)
    for lane in lanes:
        assert notes.taken[lane] == [*range(8)]
    assert notes.most_at_once > 3


async def test_who_comes_next_goes_on_where_it_was(group: Group) -> None:
    first, second, lanes = Notes(group.prefix), Notes(group.prefix), group.lanes(4)
    async with group.member(first):
        await group.send(lanes, range(5))
        await eventually(all_taken([first], lanes, 5), timeout=30)
    await group.send(lanes, range(5, 8))
    async with group.member(second):
        await eventually(all_taken([first, second], lanes, 8), timeout=30)
    assert {lane: second.taken[lane] for lane in lanes} == {lane: [5, 6, 7] for lane in lanes}


async def test_a_new_group_begins_with_the_earliest(group: Group) -> None:
    first, again, lanes = Notes(group.prefix), Notes(group.prefix), group.lanes(4)
    await group.send(lanes, range(5))
    await group.send(lanes, range(5, 7), CART_ITEM_OUT_OF_STOCK)
    for notes, name in ((first, "first"), (again, "again")):
        async with group.member(notes, f"{group.prefix}-{name}"):
            await eventually(all_taken([notes], lanes, 7), timeout=30)
        for lane in lanes:
            assert sorted(notes.taken[lane]) == [*range(7)]


async def test_what_is_not_done_is_not_committed(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_consumer, "DRAIN_SECONDS", 0.5)
    stuck, next_one, lanes = Notes(group.prefix), Notes(group.prefix), group.lanes(3)
    stuck.gate = asyncio.Event()  # never opened
    async with group.member(stuck):
        await group.send(lanes, range(3))

        async def under_way() -> None:
            assert stuck.under_way == len(lanes)

        await eventually(under_way, timeout=30)
    async with group.member(next_one):
        await eventually(all_taken([next_one], lanes, 3), timeout=30)
    assert not any(stuck.taken.values())


async def test_a_rebalance_in_the_middle_loses_nothing_and_keeps_the_order(group: Group) -> None:
    notes = [Notes(group.prefix, seconds=0.002) for _ in range(2)]
    lanes = group.lanes(12)
    async with group.member(notes[0]):
        await group.send(lanes, range(10))
        sending = asyncio.create_task(group.send(lanes, range(10, 40)))
        async with group.member(notes[1]):
            await sending
            await eventually(all_taken(notes, lanes, 40), timeout=60)
            await group.send(lanes, range(40, 45))
        await group.send(lanes, range(45, 50))
        await eventually(all_taken(notes, lanes, 50), timeout=60)
    for lane in lanes:
        for each in notes:
            assert each.first(lane) == sorted(each.first(lane))
    repeated = sum(len(each.taken[lane]) for each in notes for lane in lanes) - 50 * len(lanes)
    assert repeated < 50 * len(lanes)  # at most what was under way; mostly nothing


async def test_a_partition_that_is_far_ahead_is_paused(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_consumer, "MOST_UNFINISHED", 20)
    notes = Notes(group.prefix, gate=asyncio.Event())
    [lane] = group.lanes(1)  # of one partition; its messages wait for the first of them
    await group.send([lane], range(200))
    async with group.member(notes):

        async def full() -> None:
            assert notes.received >= 10

        await eventually(full, timeout=30)
        await asyncio.sleep(5 * event_consumer.POLL_MS / 1000)  # it could go on, and does not
        assert notes.received <= 30
        assert notes.gate is not None
        notes.gate.set()
        await eventually(all_taken([notes], [lane], 200), timeout=60)
    assert notes.taken[lane] == [*range(200)]


async def test_a_broker_killed_in_the_stream_is_waited_for(broker: Stack) -> None:
    async with other_services(broker.settings) as others:
        group = Group(broker.settings, others)
        notes, lanes = Notes(group.prefix), group.lanes(6)
        async with group.member(notes):
            await group.send(lanes, range(10))
            await eventually(all_taken([notes], lanes, 10), timeout=30)
            async with killed(broker):
                pass
            await group.send(lanes, range(10, 20))
            await eventually(all_taken([notes], lanes, 20), timeout=60)
        for lane in lanes:
            assert notes.first(lane) == [*range(20)]
