"""A command that times out and is cancelled at the same time leaves the connection pool usable."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from pymongo.asynchronous import pool, topology
from pymongo.lock import Condition, Lock, _async_cond_wait

from adapters.mongo import waits

Wait = Callable[[Condition, float | None], Awaitable[bool]]


TIMEOUT = 0.01
TURNS = 8
"""Turns of the event loop that a wait needs to end, at most."""


async def lock_is_free_after(wait: Wait) -> bool:
    """Whether it is, however many turns of the event loop after the cancellation another task, for
    which the wait has to wait when it ends, releases the lock."""
    return all([await _is_free(wait, turns) for turns in range(TURNS)])


async def _is_free(wait: Wait, turns: int) -> bool:
    condition = Condition(Lock())

    async def checkout() -> None:
        async with condition:
            await wait(condition, TIMEOUT)

    task = asyncio.create_task(checkout())
    await asyncio.sleep(0)
    with suppress(RuntimeError):  # somebody else has released it
        async with condition:
            await asyncio.sleep(2 * TIMEOUT)
            task.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
    await asyncio.gather(task, return_exceptions=True)
    try:
        async with asyncio.timeout(0.2):
            await condition.acquire()
    except TimeoutError:
        return False
    return True


async def test_a_wait_that_is_cancelled_while_it_times_out_releases_the_lock() -> None:
    assert await lock_is_free_after(waits.wait_in_task)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio.wait_for is sound")
async def test_the_drivers_own_wait_does_not() -> None:
    assert not await lock_is_free_after(_async_cond_wait)


async def test_a_wait_ends_after_its_time_or_when_it_is_notified() -> None:
    condition = Condition()
    async with condition:
        assert not await waits.wait_in_task(condition, 0.01)
        assert condition.locked()

    async def notify() -> None:
        async with condition:
            condition.notify()

    async with condition:
        notifying = asyncio.create_task(notify())
        assert await waits.wait_in_task(condition, None)
        assert condition.locked()
    await notifying


@pytest.mark.parametrize("module", [pool, topology], ids=["pool", "topology"])
def test_the_driver_has_the_wait_that_is_repaired(module: object) -> None:
    waits.repair()
    wait = getattr(module, waits.WAIT)
    assert asyncio.run(lock_is_free_after(wait))
