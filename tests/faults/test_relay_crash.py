"""A relay continues in another worker when its worker dies during a delivery."""

import asyncio
import time

from models.cart import CartKey
from models.documents import bucket_of
from models.effects import EffectKind
from tests.faults.cart_requests import CartRequest, RetryHabit
from tests.faults.fault_injection import CONVERGE_SECONDS
from tests.faults.invariants import violations
from tests.faults.observed_state import observe
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, perform
from tests.faults.triggers import DIE, CallPoint, Instruction, Trigger, error
from workflows.ids import relay_workflow_id


async def test_a_worker_that_dies_in_a_delivery_delays_its_shard_for_seconds_only(
    rig: FaultRig,
) -> None:
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 10})
    died_at: list[float] = []

    async def fail_publish(_: Trigger) -> Instruction:
        return error("kafka")

    async def die(_: Trigger) -> Instruction:
        died_at.append(time.monotonic())
        return DIE

    shard = bucket_of(CartKey(ledger.store_id, "user")) % rig.settings.relay_shards
    relay = relay_workflow_id(EffectKind.EVENT, shard)
    rig.triggers.arm(
        Trigger(ledger.workflow_id("user"), CallPoint("publish", "before"), fail_publish)
    )
    delivering = rig.triggers.arm(Trigger(relay, CallPoint("publish", "before"), die))
    await perform(ledger, CartRequest(0, "user", "lamp", 1, "key", RetryHabit.RETRIES))
    async with asyncio.timeout(CONVERGE_SECONDS):
        await delivering.fired.wait()
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
    assert time.monotonic() - died_at[0] < CONVERGE_SECONDS
