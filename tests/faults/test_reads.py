"""What a buyer reads after it was answered, when the worker died before it could show the cart."""

import asyncio

from tests.faults.control import DIE, Place, Reply, Trap
from tests.faults.invariants import violations
from tests.faults.observed import observe
from tests.faults.rig import Rig
from tests.faults.traffic import Ledger, buy
from tests.faults.wishes import Habit, Request
from tests.support.waiting import eventually


async def test_a_repeated_key_is_not_answered_before_the_cart_can_be_read(rig: Rig) -> None:
    ledger = Ledger(rig, is_clouded=lambda *_: False)
    await ledger.stock_up({"lamp": 10})
    await buy(ledger, Request(0, "user", "lamp", 1, "first", Habit.INSISTS))

    async def die(_: Trap) -> Reply:
        return DIE

    committed = rig.control.arm(Trap(ledger.workflow_id("user"), Place("commit", "after"), die))
    request = Request(1, "user", "lamp", 1, "second", Habit.LEAVES)
    waiting = asyncio.create_task(buy(ledger, request))
    async with asyncio.timeout(10):
        await committed.sprung.wait()

    async def replayed() -> None:
        told = await ledger.send(request)
        assert told.committed
        await ledger.read(request, told)

    await eventually(replayed)
    await waiting
    seen = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(seen)] == []
