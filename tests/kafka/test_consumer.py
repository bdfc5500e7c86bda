"""The consumer on Apache Kafka and on the stand-in: order, rebalances, repeats, outages.

It runs in the test's process, in its own groups; its messages are recorded and have no effect.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from adapters.kafka import consumer as event_consumer
from adapters.kafka.consumer import EventConsumer, MessageHandler
from dev.stack.stack import Stack
from models.events import CART_ITEM_OUT_OF_STOCK, ORDER_COMPLETED
from models.incoming import CONSUMED, ConsumedMessage
from settings import Settings
from tests.kafka.test_outages import killed
from tests.support.crashing_consumer import SESSION_MS
from tests.support.events import OtherServices, other_services
from tests.support.waiting import eventually

JOIN_SECONDS = 60.0


@dataclass
class RecordingIntake:
    """An intake that records the messages of one test, by lane and in order.

    Each message takes `seconds`, and waits until `gate` is set if there is one.
    """

    mine: str
    taken: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0
    gate: asyncio.Event | None = None
    received: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    most_at_once: int = 0

    def lane(self, message: ConsumedMessage) -> str:
        lane = (message.key or b"").decode()
        self.received[lane] += lane.startswith(self.mine)
        return lane

    async def take(self, message: ConsumedMessage) -> None:
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
        """The numbers taken of a lane, without repeats."""
        return list(dict.fromkeys(self.taken[lane]))


@dataclass
class Group:
    """The consumer group of one test."""

    settings: Settings
    others: OtherServices
    prefix: str = field(default_factory=lambda: f"test-{uuid4().hex[:8]}")

    def lanes(self, count: int) -> list[str]:
        return [f"{self.prefix}-{number}" for number in range(count)]

    async def send(self, lanes: list[str], numbers: range, topic: str = ORDER_COMPLETED) -> None:
        for number in numbers:
            for lane in lanes:
                await self.others.send(topic, str(number).encode(), key=lane)

    async def two_partitions(self) -> tuple[str, str]:
        """Two lanes in different partitions, with message 0 in each."""
        lane, *others = self.lanes(50)
        partition, _ = await self.others.send(ORDER_COMPLETED, b"0", key=lane)
        for other in others:
            if (await self.others.send(ORDER_COMPLETED, b"0", key=other))[0] != partition:
                return lane, other
        raise AssertionError("all lanes are in one partition")

    @asynccontextmanager
    async def member(
        self, notes: MessageHandler, group_id: str = ""
    ) -> AsyncIterator[EventConsumer]:
        """Runs a member of the group, and stops it in order."""
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


def all_taken(
    notes: list[RecordingIntake], lanes: list[str], count: int
) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        for lane in lanes:
            taken = {number for each in notes for number in each.taken[lane]}
            assert taken == set(range(count))

    return check


async def test_messages_of_a_cart_are_in_order_and_carts_run_at_once(group: Group) -> None:
    notes, lanes = RecordingIntake(group.prefix, seconds=0.01), group.lanes(12)
    async with group.member(notes):
        await group.send(lanes, range(8))
        await eventually(all_taken([notes], lanes, 8), timeout=30)
    for lane in lanes:
        assert notes.taken[lane] == [*range(8)]
    assert notes.most_at_once > 3


async def test_the_next_member_continues_at_the_committed_offset(group: Group) -> None:
    first, second, lanes = (
        RecordingIntake(group.prefix),
        RecordingIntake(group.prefix),
        group.lanes(4),
    )
    async with group.member(first):
        await group.send(lanes, range(5))
        await eventually(all_taken([first], lanes, 5), timeout=30)
    await group.send(lanes, range(5, 8))
    async with group.member(second):
        await eventually(all_taken([first, second], lanes, 8), timeout=30)
    assert {lane: second.taken[lane] for lane in lanes} == {lane: [5, 6, 7] for lane in lanes}


async def test_a_new_group_begins_with_the_earliest_message(group: Group) -> None:
    first, again, lanes = (
        RecordingIntake(group.prefix),
        RecordingIntake(group.prefix),
        group.lanes(4),
    )
    await group.send(lanes, range(5))
    await group.send(lanes, range(5, 7), CART_ITEM_OUT_OF_STOCK)
    for notes, name in ((first, "first"), (again, "again")):
        async with group.member(notes, f"{group.prefix}-{name}"):
            await eventually(all_taken([notes], lanes, 7), timeout=30)
        for lane in lanes:
            assert sorted(notes.taken[lane]) == [*range(7)]


async def test_a_message_without_effect_is_not_committed(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_consumer, "DRAIN_SECONDS", 0.5)
    stuck, next_one, lanes = (
        RecordingIntake(group.prefix),
        RecordingIntake(group.prefix),
        group.lanes(3),
    )
    stuck.gate = asyncio.Event()  # never opened
    async with group.member(stuck):
        await group.send(lanes, range(3))

        async def under_way() -> None:
            assert stuck.under_way == len(lanes)

        await eventually(under_way, timeout=30)
    async with group.member(next_one):
        await eventually(all_taken([next_one], lanes, 3), timeout=30)
    assert not any(stuck.taken.values())


async def test_a_rebalance_loses_nothing_and_keeps_the_order(group: Group) -> None:
    notes = [RecordingIntake(group.prefix, seconds=0.002) for _ in range(2)]
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
    assert repeated < 50 * len(lanes)  # at most the messages under way; mostly none


async def test_a_partition_that_is_far_ahead_is_paused(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_consumer, "MOST_UNFINISHED", 20)
    notes = RecordingIntake(group.prefix, gate=asyncio.Event())
    lane, other = await group.two_partitions()
    await group.send([lane], range(1, 200))
    async with group.member(notes):

        async def full() -> None:
            assert notes.received[lane] >= 10

        await eventually(full, timeout=30)
        # Each message of the other partition takes a poll, which could return more of the first.
        for number in range(1, 6):
            await group.send([other], range(number, number + 1))

            async def polled(number: int = number) -> None:
                assert notes.received[other] > number

            await eventually(polled)
        assert notes.received[lane] <= 30
        assert notes.gate is not None
        notes.gate.set()
        await eventually(all_taken([notes], [lane], 200), timeout=60)
    assert notes.taken[lane] == [*range(200)]


async def test_the_consumer_continues_after_its_broker_was_killed(broker: Stack) -> None:
    async with other_services(broker.settings) as others:
        group = Group(broker.settings, others)
        notes, lanes = RecordingIntake(group.prefix), group.lanes(6)
        async with group.member(notes):
            await group.send(lanes, range(10))
            await eventually(all_taken([notes], lanes, 10), timeout=30)
            async with killed(broker):
                pass
            await group.send(lanes, range(10, 20))
            await eventually(all_taken([notes], lanes, 20), timeout=60)
        for lane in lanes:
            assert notes.first(lane) == [*range(20)]
