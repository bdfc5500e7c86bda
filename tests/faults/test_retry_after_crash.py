"""After a worker dies its sagas run their steps again, and the stored state may have changed."""

import asyncio
from contextlib import suppress

import pytest

from tests.faults.cart_requests import CartAction, CartRequest, RetryHabit
from tests.faults.invariants import violations
from tests.faults.observed_state import observe
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, perform, prepare
from tests.faults.triggers import DIE, CallPoint, Instruction, Trigger, error, unsent

TRIES = 5
"""Tries until a reply goes through Redis, which an earlier test may have had down."""

LOADS = 3
"""How often an update tries to load its cart (`workflows.policies`)."""


async def until_fired(ledger: Ledger, replied: Trigger, action: CartAction) -> CartRequest:
    """Repeats a request for three units until the trigger of its reply fires; the last one."""
    for number in range(1, TRIES + 1):
        key = f"try-{number}"
        request = CartRequest(number, "user", "lamp", 3, key, RetryHabit.NEVER_RETRIES, action)
        await prepare(ledger, request)
        await perform(ledger, request)
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                await replied.fired.wait()
            break
    assert replied.fired.is_set()
    return request


async def test_a_retry_that_cannot_load_the_cart_releases_the_units_of_the_first_try(
    rig: FaultRig,
) -> None:
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 10})
    await perform(ledger, CartRequest(0, "user", "lamp", 2, "first", RetryHabit.RETRIES))
    cart = ledger.workflow_id("user")

    async def fail_load(_: Trigger) -> Instruction:
        return error("mongodb")

    async def die(_: Trigger) -> Instruction:
        rig.triggers.arm(Trigger(cart, CallPoint("load", "before"), fail_load, times=LOADS))
        return DIE

    reserved = rig.triggers.arm(Trigger(cart, CallPoint("reserve", "after"), die))
    more = CartRequest(1, "user", "lamp", 3, "more", RetryHabit.NEVER_RETRIES, CartAction.INCREASE)
    await prepare(ledger, more)
    await perform(ledger, more)
    assert reserved.fired.is_set()
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
    assert [record["state"] for record in observed.records].count("committed") == 1
    await rig.stack.wait_ready(reserved.worker)


@pytest.mark.parametrize("action", [CartAction.ADD, CartAction.INCREASE])
async def test_a_request_that_was_refused_for_stock_is_not_committed_by_a_retry(
    rig: FaultRig, action: CartAction
) -> None:
    """The worker dies after the reply, and meanwhile there are units again."""
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 2})
    await perform(ledger, CartRequest(0, "user", "lamp", 1, "first", RetryHabit.RETRIES))
    cart = ledger.workflow_id("user")

    async def restock_and_die(_: Trigger) -> Instruction:
        await ledger.stock_up({"lamp": 9})
        ledger.stock["lamp"] += 1  # the unit in the cart
        return DIE

    answered = rig.triggers.arm(Trigger(cart, CallPoint("announce", "after"), restock_and_die))
    request = await until_fired(ledger, answered, action)
    assert [answer.unchanged for answer in request.replies] == [True]
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
    assert request.key not in {change.request.key for change in observed.changes}
    await rig.stack.wait_ready(answered.worker)


async def test_a_request_that_was_never_sent_leaves_nothing_held_by_a_retry(rig: FaultRig) -> None:
    """The worker dies after the reply, and meanwhile the circuit of the inventory is closed."""
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 10})
    cart = ledger.workflow_id("user")

    async def refuse(_: Trigger) -> Instruction:
        return unsent("inventory")

    async def close_and_die(_: Trigger) -> Instruction:
        rig.triggers.disarm(circuit)
        return DIE

    circuit = rig.triggers.arm(Trigger(cart, CallPoint("reserve", "before"), refuse, times=1000))
    answered = rig.triggers.arm(Trigger(cart, CallPoint("announce", "after"), close_and_die))
    request = await until_fired(ledger, answered, CartAction.ADD)
    assert [answer.status for answer in request.replies] == [503]
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
    assert observed.changes == []
    await rig.stack.wait_ready(answered.worker)
