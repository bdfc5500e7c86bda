"""Concurrent callers of one key share one load, also after cancellations."""

import asyncio

import pytest

from adapters.single_flight import SingleFlight


class Load:
    """A load that waits for its outcome."""

    def __init__(self) -> None:
        self.begun = 0
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.begun += 1
        return await self.outcome


async def test_concurrent_callers_share_a_load_and_later_ones_start_a_new_one() -> None:
    flight: SingleFlight[str] = SingleFlight()
    load = Load()
    waiting = [flight.join("cart", load) for _ in range(5)]
    await asyncio.sleep(0)
    assert (load.begun, len(flight)) == (1, 1)
    load.outcome.set_result("a")
    assert await asyncio.gather(*waiting) == ["a"] * 5
    assert await flight.join("cart", load) == "a"
    assert (load.begun, len(flight)) == (2, 0)


async def test_keys_do_not_share_a_load() -> None:
    flight: SingleFlight[str] = SingleFlight()
    one, other = Load(), Load()
    first, second = flight.join(1, one), flight.join(2, other)
    one.outcome.set_result("one")
    other.outcome.set_result("other")
    assert (await first, await second) == ("one", "other")


async def test_the_cancellation_of_the_first_caller_does_not_cancel_the_others() -> None:
    flight: SingleFlight[str] = SingleFlight()
    load = Load()

    async def ask() -> str:
        return await flight.join("cart", load)

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    load.outcome.set_result("a")
    assert await second == "a"
    assert (first.cancelled(), load.begun) == (True, 1)


async def test_a_failure_reaches_all_callers_and_is_not_kept() -> None:
    flight: SingleFlight[str] = SingleFlight()
    failing, working = Load(), Load()
    waiting = [flight.join("cart", failing) for _ in range(2)]
    failing.outcome.set_exception(OSError("down"))
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
    working.outcome.set_result("a")
    assert await flight.join("cart", working) == "a"


async def test_close_waits_for_open_loads() -> None:
    flight: SingleFlight[str] = SingleFlight()
    load = Load()
    waiting = flight.join("cart", load)
    closing = asyncio.create_task(flight.close())
    await asyncio.sleep(0)
    assert not closing.done()
    load.outcome.set_exception(OSError("down"))
    await closing
    with pytest.raises(OSError, match="down"):
        await waiting
