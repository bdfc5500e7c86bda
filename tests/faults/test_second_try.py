"""A saga whose worker died runs its steps again, and may find the world changed meanwhile."""

import asyncio

import pytest

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


@pytest.mark.parametrize("what", [What.ADD, What.MORE])
async def test_who_was_told_that_there_are_too_few_units_gets_none_by_a_second_try(
    rig: Rig, what: What
) -> None:
    """The worker dies when it has told the caller, and then there are units again."""
    ledger = Ledger(rig, is_clouded=lambda *_: True)
    await ledger.stock_up({"lamp": 2})
    await buy(ledger, Request(0, "user", "lamp", 1, "first", Habit.INSISTS))
    request = Request(1, "user", "lamp", 3, "too-many", Habit.LEAVES, what)
    await prepare(ledger, request)
    cart = ledger.workflow_id("user")

    async def restock_and_die(_: Trap) -> Reply:
        await ledger.stock_up({"lamp": 9})
        ledger.stock["lamp"] += 1  # which is in the cart
        return DIE

    told = rig.control.arm(Trap(cart, Place("announce", "after"), restock_and_die))
    await buy(ledger, request)
    async with asyncio.timeout(10):
        await told.sprung.wait()
    assert [answer.unchanged for answer in request.told] == [True]
    seen = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(seen)] == []
    assert request.key not in {change.request.key for change in seen.changes}
    await rig.stack.wait_ready(told.worker)
