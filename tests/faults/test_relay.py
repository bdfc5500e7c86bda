"""A relay whose worker dies in the middle of a delivery."""

import asyncio
import time

from models.operation import shard_key
from models.relays import RelayKind
from tests.faults.control import DIE, Place, Reply, Trap, error
from tests.faults.inject import CONVERGE_SECONDS
from tests.faults.invariants import violations
from tests.faults.observed import observe
from tests.faults.rig import Rig
from tests.faults.traffic import Ledger, buy
from tests.faults.wishes import Habit, Request
from workflows.ids import relay_workflow_id


async def test_a_worker_killed_in_a_delivery_holds_its_shard_for_seconds_only(rig: Rig) -> None:
    ledger = Ledger(rig, is_clouded=lambda *_: False)
    await ledger.stock_up({"lamp": 10})
    died_at: list[float] = []

    async def unheard(_: Trap) -> Reply:
        return error("kafka")

    async def die(_: Trap) -> Reply:
        died_at.append(time.monotonic())
        return DIE

    shard = shard_key(ledger.store_id, "user") % rig.settings.relay_shards
    relay = relay_workflow_id(RelayKind.EVENTS, shard)
    rig.control.arm(Trap(ledger.workflow_id("user"), Place("publish", "before"), unheard))
    delivering = rig.control.arm(Trap(relay, Place("publish", "before"), die))
    await buy(ledger, Request(0, "user", "lamp", 1, "key", Habit.INSISTS))
    async with asyncio.timeout(CONVERGE_SECONDS):
        await delivering.sprung.wait()
    seen = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(seen)] == []
    assert time.monotonic() - died_at[0] < CONVERGE_SECONDS
