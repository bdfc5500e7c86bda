"""Without the reply channel in Redis a request has the same reply, which comes from Temporal.

The channel breaks after the pivot has committed, just before the reply is published.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from redis.asyncio import Redis

from tests.faults.cart_requests import CartAction, CartRequest, RetryHabit
from tests.faults.invariants import violations
from tests.faults.observed_state import observe
from tests.faults.proxy import Mode
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, perform, prepare
from tests.faults.triggers import CONTINUE, CallPoint, Instruction, Trigger
from tests.support.outages import down
from tests.support.waiting import eventually

TRIES = 4
"""Tries again when a busy machine answered 202, which is not tested here."""

BreakChannel = Callable[[FaultRig], AbstractAsyncContextManager[None]]


def link_broken(mode: Mode) -> BreakChannel:
    """Breaks the link from the API to Redis: messages that are published meanwhile are lost."""
    return lambda rig: rig.links["api-redis"].broken(mode)


def redis_down(rig: FaultRig) -> AbstractAsyncContextManager[None]:
    """Redis is down inside."""
    return down(rig.stack, "redis")


@asynccontextmanager
async def restarted(rig: FaultRig) -> AsyncIterator[None]:
    """Redis restarts, without the API's subscription."""
    async with redis_down(rig):
        pass
    yield


async def api_is_subscribed(rig: FaultRig) -> None:
    """Returns when the API is subscribed, as without the channel it always asks Temporal."""
    async with Redis.from_url(rig.settings.redis.get_secret_value()) as redis:
        assert await redis.pubsub_channels("cart:answers:*")


@pytest.mark.parametrize("action", [CartAction.ADD, CartAction.CLEAR])
@pytest.mark.parametrize(
    "break_channel",
    [
        link_broken(Mode.SWALLOW),
        link_broken(Mode.STALL),
        link_broken(Mode.RESET),
        redis_down,
        restarted,
    ],
    ids=["lost", "half-open", "reset", "down", "restarted"],
)
async def test_a_reply_that_the_channel_loses_comes_from_temporal(
    rig: FaultRig, break_channel: BreakChannel, action: CartAction
) -> None:
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 100})
    announced = CallPoint("drop" if action is CartAction.CLEAR else "put", "before")
    for number in range(TRIES):
        await eventually(partial(api_is_subscribed, rig))
        request = CartRequest(
            number, "user", "lamp", 2, f"key-{number}", RetryHabit.REPEATS_AFTERWARDS, action
        )
        await prepare(ledger, request)
        async with AsyncExitStack() as broken:

            async def fire(_: Trigger, broken: AsyncExitStack = broken) -> Instruction:
                await broken.enter_async_context(break_channel(rig))
                return CONTINUE

            trigger = rig.triggers.arm(Trigger(ledger.workflow_id("user"), announced, fire))
            await perform(ledger, request)
            rig.triggers.disarm(trigger)
        if request.replies[0].committed:
            break
    assert trigger.fired.is_set()
    assert [reply.status for reply in request.replies if not reply.committed] == []
    assert len({reply.body for reply in request.replies}) == 1
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
