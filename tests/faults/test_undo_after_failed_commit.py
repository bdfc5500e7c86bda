"""A saga whose transaction never commits is undone by what its record says, not by the change."""

from temporalio.client import WorkflowExecutionStatus

from tests.faults.cart_requests import CartRequest, RetryHabit
from tests.faults.invariants import violations
from tests.faults.observed_state import observe
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, perform
from tests.faults.triggers import CallPoint, Instruction, Trigger, error
from tests.support.call_faults import FOR_EVER
from tests.support.waiting import eventually

SECONDS = 30.0


async def test_an_undo_after_a_failed_commit_releases_the_units_at_once(rig: FaultRig) -> None:
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 10})

    async def fail_commit(_: Trigger) -> Instruction:
        return error("mongodb")

    workflow_id = ledger.workflow_id("user")
    failing = Trigger(workflow_id, CallPoint("transaction", "before"), fail_commit, FOR_EVER)
    rig.triggers.arm(failing)
    await perform(ledger, CartRequest(0, "user", "lamp", 2, "key", RetryHabit.NEVER_RETRIES))

    async def ended() -> None:
        run = await rig.temporal.get_workflow_handle(workflow_id).describe()
        assert run.status is not WorkflowExecutionStatus.RUNNING

    await eventually(ended, timeout=SECONDS)
    rig.triggers.disarm(failing)
    record = await rig.database["operations"].find_one({"storeId": ledger.store_id})
    assert record is not None
    assert record["state"] == "aborted"
    assert not record["pending"], "the units are left to the relay"
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
