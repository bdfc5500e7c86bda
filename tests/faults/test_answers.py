"""The short cut by which an answer leaves is never a guarantee: without it the answer is the same.

What breaks here breaks when the pivot has committed, just before the answer is announced.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from redis.asyncio import Redis

from tests.faults.control import GO, Place, Reply, Trap
from tests.faults.invariants import violations
from tests.faults.observed import observe
from tests.faults.proxy import Mode
from tests.faults.rig import Rig
from tests.faults.traffic import Ledger, buy, prepare
from tests.faults.wishes import Habit, Request, What
from tests.support.waiting import eventually

TRIES = 4
"""A machine that is busy may answer 202 for once; it is not what is tested here."""

Loss = Callable[[Rig], AbstractAsyncContextManager[None]]


def unheard(mode: Mode) -> Loss:
    """The API's line to Redis breaks: what is published meanwhile never arrives."""
    return lambda rig: rig.links["api-redis"].broken(mode)


@asynccontextmanager
async def down(rig: Rig) -> AsyncIterator[None]:
    """Nobody reaches Redis inside."""
    await rig.stack.kill("redis", restart=False)
    try:
        yield
    finally:
        await rig.stack.start_again("redis")
        rig.stack.process("redis").restart = True


@asynccontextmanager
async def restarted(rig: Rig) -> AsyncIterator[None]:
    """The new one knows of no subscription, until the API has noticed."""
    async with down(rig):
        pass
    yield


async def listening(rig: Rig) -> None:
    """The API hears answers: else it would ask for them in any case."""
    async with Redis.from_url(rig.settings.redis.get_secret_value()) as redis:
        assert await redis.pubsub_channels("cart:answers:*")


@pytest.mark.parametrize("what", [What.ADD, What.CLEAR])
@pytest.mark.parametrize(
    "loss",
    [unheard(Mode.SWALLOW), unheard(Mode.STALL), unheard(Mode.RESET), down, restarted],
    ids=["lost", "half-open", "reset", "down", "restarted"],
)
async def test_an_answer_that_is_not_heard_is_asked_for(rig: Rig, loss: Loss, what: What) -> None:
    ledger = Ledger(rig, is_clouded=lambda *_: True)  # what cannot be written to Redis is not read
    await ledger.stock_up({"lamp": 100})
    announced = Place("drop" if what is What.CLEAR else "put", "before")
    for number in range(TRIES):
        await eventually(partial(listening, rig))
        request = Request(number, "user", "lamp", 2, f"key-{number}", Habit.REPEATS, what)
        await prepare(ledger, request)
        async with AsyncExitStack() as broken:

            async def spring(_: Trap, broken: AsyncExitStack = broken) -> Reply:
                await broken.enter_async_context(loss(rig))
                return GO

            trap = rig.control.arm(Trap(ledger.workflow_id("user"), announced, spring))
            await buy(ledger, request)
            rig.control.disarm(trap)
        if request.told[0].committed:
            break
    assert trap.sprung.is_set()
    assert [told.status for told in request.told if not told.committed] == []
    assert len({told.body for told in request.told}) == 1
    seen = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(seen)] == []
