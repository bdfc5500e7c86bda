"""A saga whose worker died runs its steps again, and may fail before it comes to what was done."""

from tests.faults.control import DIE, Place, Reply, Trap, error
from tests.faults.invariants import violations
from tests.faults.observed import observe
from tests.faults.rig import Rig
from tests.faults.traffic import Ledger, buy, prepare
from tests.faults.wishes import Habit, Request, What

LOADS = 3
"""How often an update tries to load its cart (`Saga.load_and_reserve`, `workflows.policies`)."""


async def test_units_of_the_first_try_are_given_back_by_a_second_that_cannot_load(rig: Rig) -> None:
    ledger = Ledger(rig, is_clouded=lambda *_: True)
    await ledger.stock_up({"lamp": 10})
    await buy(ledger, Request(0, "user", "lamp", 2, "first", Habit.INSISTS))
    cart = ledger.workflow_id("user")

    async def away(_: Trap) -> Reply:
        return error("mongodb")

    async def die(_: Trap) -> Reply:
        rig.control.arm(Trap(cart, Place("load", "before"), away, times=LOADS))
        return DIE

    reserved = rig.control.arm(Trap(cart, Place("reserve", "after"), die))
    more = Request(1, "user", "lamp", 3, "more", Habit.LEAVES, What.MORE)
    await prepare(ledger, more)
    await buy(ledger, more)
    assert reserved.sprung.is_set()
    seen = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(seen)] == []
    assert [record["state"] for record in seen.records].count("committed") == 1
    await rig.stack.wait_ready(reserved.worker)
