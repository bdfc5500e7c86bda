"""The locks of the reference inventory: one holder at a time, bounded waits, no leftovers."""

import asyncio

import pytest

from dev.inventory_service.store import KeyedLocks


async def test_one_holder_of_a_key_at_a_time() -> None:
    locks = KeyedLocks()
    inside: list[str] = []
    most = 0

    async def work(name: str, key: str) -> None:
        nonlocal most
        async with locks.hold(key, 5):
            inside.append(name)
            most = max(most, len([other for other in inside if other.startswith(key)]))
            await asyncio.sleep(0)
            inside.remove(name)

    await asyncio.gather(*(work(f"{key}{n}", key) for n in range(10) for key in "ab"))
    assert most == 1


async def test_keys_do_not_wait_for_each_other() -> None:
    locks = KeyedLocks()
    async with locks.hold("a", 5), asyncio.timeout(5), locks.hold("b", 5):
        assert len(locks) == 2


async def test_a_wait_times_out_and_the_lock_stays_usable() -> None:
    locks = KeyedLocks()
    async with locks.hold("a", 5):
        with pytest.raises(TimeoutError):
            async with locks.hold("a", 0.01):
                pytest.fail("there is a holder already")
    async with locks.hold("a", 0.01):
        assert len(locks) == 1


@pytest.mark.parametrize("end", ["normal", "error", "cancel"])
async def test_a_lock_without_holders_is_deleted(end: str) -> None:
    locks = KeyedLocks()
    entered = asyncio.Event()

    async def work() -> None:
        async with locks.hold("a", 5):
            entered.set()
            if end == "error":
                raise ValueError
            if end == "cancel":
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    waiter = asyncio.create_task(work())
    await entered.wait()
    if end == "cancel":
        waiter.cancel()
        task.cancel()
    await asyncio.gather(task, waiter, return_exceptions=True)
    assert len(locks) == 0
    assert task.cancelled() is (end == "cancel")
