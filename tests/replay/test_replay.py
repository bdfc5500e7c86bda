"""Today's workflows replay what earlier ones did: a run that is open survives a deployment."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from tests.replay import histories
from tests.replay.scenarios import SCENARIOS, WORKFLOWS
from tests.support.metrics import numbers_here
from worker import PASSED_THROUGH
from workflows import ids

WHAT_TO_DO = f"""
The workflow no longer does what the recorded history `{{name}}` says: its commands were

    {{commands}}

Runs that are open when the new worker starts would get stuck in just this way. So:

- If the change of order was no purpose, undo it.
- If it was, let the code take both ways, `if workflow.patched("what-changed"): new … else: old …`,
  keep this history, and record one of the new way: name a scenario for it in
  tests/replay/scenarios.py, then `{histories.RECORD} NAME`.
- Only if no run of the old code can be open any more: `{histories.RECORD} {{name}}`.

The Replayer says: {{error}}
"""


@pytest.fixture(scope="module")
def replayer() -> Replayer:
    """As the worker runs workflows."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return Replayer(
        workflows=list(WORKFLOWS.values()),
        data_converter=pydantic_data_converter,
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
    )


@pytest.mark.parametrize("name", histories.names())
async def test_a_recorded_run_replays(replayer: Replayer, name: str) -> None:
    history = histories.load(name)
    failure = await error_of(replayer, history)
    if failure is not None:
        commands = "\n    ".join(histories.commands(name))
        pytest.fail(WHAT_TO_DO.format(name=name, commands=commands, error=failure), pytrace=False)


async def test_a_replay_counts_nothing(replayer: Replayer) -> None:
    before = numbers_here()
    for name in ("add_committed", "add_rejected_for_stock", "add_settled_when_mongodb_is_back"):
        assert await error_of(replayer, histories.load(name)) is None
    assert numbers_here().since(before).by("outcome", "cart_saga_count_total") == {}


def test_every_scenario_is_recorded_and_every_workflow_has_one() -> None:
    assert histories.names() == sorted(SCENARIOS), f"run `{histories.RECORD}`"
    assert {name.partition("_")[0] for name in SCENARIOS} == set(WORKFLOWS)


@pytest.mark.parametrize("name", histories.names())
def test_the_commands_beside_a_history_are_its_own(name: str) -> None:
    assert histories.commands(name) == histories.commands_of(histories.load(name))


@workflow.defn(name=ids.SWEEP, sandboxed=False)
class SweepAfterAPause:
    """The sweep with a timer before its step."""

    @workflow.run
    async def run(self) -> int:
        await asyncio.sleep(timedelta(seconds=1).total_seconds())
        return 0


async def test_a_changed_order_of_commands_is_noticed() -> None:
    replayer = Replayer(workflows=[SweepAfterAPause], data_converter=pydantic_data_converter)
    failure = await error_of(replayer, histories.load("sweep"))
    assert isinstance(failure, workflow.NondeterminismError)


async def error_of(replayer: Replayer, history: WorkflowHistory) -> Exception | None:
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    return result.replay_failure
