"""A read after a reply is never stale, also if the worker dies before it writes the cache."""

import asyncio

from tests.faults.cart_requests import CartRequest, RetryHabit
from tests.faults.invariants import violations
from tests.faults.observed_state import observe
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, perform
from tests.faults.triggers import DIE, CallPoint, Instruction, Trigger
from tests.support.waiting import eventually


async def test_a_repeated_key_is_answered_only_when_a_read_shows_its_cart(rig: FaultRig) -> None:
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 10})
    await perform(ledger, CartRequest(0, "user", "lamp", 1, "first", RetryHabit.RETRIES))

    async def die(_: Trigger) -> Instruction:
        return DIE

    committed = rig.triggers.arm(
        Trigger(ledger.workflow_id("user"), CallPoint("persist", "after"), die)
    )
    request = CartRequest(1, "user", "lamp", 1, "second", RetryHabit.NEVER_RETRIES)
    waiting = asyncio.create_task(perform(ledger, request))
    async with asyncio.timeout(10):
        await committed.fired.wait()

    async def replayed() -> None:
        reply = await ledger.send(request)
        assert reply.committed
        await ledger.read(request, reply)

    await eventually(replayed)
    await waiting
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
