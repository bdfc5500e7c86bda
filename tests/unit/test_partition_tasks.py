"""Messages of a lane run in order, lanes run concurrently, and offsets commit without gaps."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.kafka.partition_tasks import PartitionTasks

Work = Callable[[], Awaitable[None]]


class Gates:
    """Work that starts and waits until it is released."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._open: dict[str, asyncio.Event] = {}

    def work(self, name: str) -> Work:
        self._open[name] = asyncio.Event()

        async def run() -> None:
            self.begun.append(name)
            await self._open[name].wait()

        return run

    async def let(self, *names: str) -> None:
        for name in names:
            self._open[name].set()
        await settle()


async def settle() -> None:
    """Runs all tasks that are ready."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_lane_runs_in_order_and_lanes_run_concurrently() -> None:
    lanes, gates = PartitionTasks(), Gates()
    for offset, name in enumerate(("a1", "b1", "a2", "b2")):
        lanes.add(offset, name[0], gates.work(name))
    await settle()
    assert gates.begun == ["a1", "b1"]
    await gates.let("b1")
    assert gates.begun == ["a1", "b1", "b2"]
    await gates.let("a1")
    assert gates.begun == ["a1", "b1", "b2", "a2"]


async def test_the_committable_offset_has_no_unfinished_message_before_it() -> None:
    assert PartitionTasks().committable is None
    lanes, gates = PartitionTasks(), Gates()
    for offset, name in ((7, "a"), (8, "b"), (11, "c")):  # a compacted topic has gaps
        lanes.add(offset, name, gates.work(name))
    await settle()
    assert lanes.committable == 7
    await gates.let("b")
    assert (lanes.committable, lanes.unfinished) == (7, 2)
    await gates.let("a")
    assert lanes.committable == 11
    await gates.let("c")
    assert (lanes.committable, lanes.unfinished) == (12, 0)


async def test_an_abandoned_message_is_not_committable() -> None:
    lanes, gates = PartitionTasks(), Gates()
    for offset, name in enumerate(("a1", "a2", "b1")):
        lanes.add(offset, name[0], gates.work(name))
    await settle()
    await gates.let("b1")
    await lanes.abandon()
    assert lanes.committable == 0
    assert gates.begun == ["a1", "b1"]
    assert lanes.failure is None


async def test_a_failed_message_is_not_committable_and_blocks_its_lane() -> None:
    lanes, gates = PartitionTasks(), Gates()

    async def fail() -> None:
        raise ValueError("a bug")

    lanes.add(0, "a", fail)
    lanes.add(1, "a", gates.work("a2"))
    lanes.add(2, "b", gates.work("b1"))
    await settle()
    await gates.let("b1")
    assert isinstance(lanes.failure, ValueError)
    assert gates.begun == ["b1"]
    assert lanes.committable == 0
    async with asyncio.timeout(10):
        await lanes.drain()


async def test_drain_waits_for_all_messages() -> None:
    lanes, gates = PartitionTasks(), Gates()
    lanes.add(0, "a", gates.work("a1"))
    lanes.add(1, "a", gates.work("a2"))
    draining = asyncio.create_task(lanes.drain())
    await settle()
    await gates.let("a1")
    assert not draining.done()
    await gates.let("a2")
    assert draining.done()


async def test_a_repeated_offset_is_a_message_of_its_own() -> None:
    """A broker that lost its data gives the same offsets again."""
    lanes, gates = PartitionTasks(), Gates()
    lanes.add(0, "a", gates.work("old"))
    lanes.add(0, "b", gates.work("new"))
    await settle()
    await gates.let("old")
    assert (lanes.committable, lanes.unfinished) == (0, 1)
    await gates.let("new")
    assert lanes.committable == 1


@pytest.mark.parametrize("lane", ["a", "b"])
async def test_an_empty_lane_accepts_new_messages(lane: str) -> None:
    lanes, gates = PartitionTasks(), Gates()
    lanes.add(0, "a", gates.work("1"))
    await settle()
    await gates.let("1")
    lanes.add(1, lane, gates.work("2"))
    await settle()
    assert gates.begun == ["1", "2"]
