"""The present workflows replay recorded histories, so that open runs survive a deployment."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from tests.replay import histories
from tests.replay.scenarios import SCENARIOS, WORKFLOWS
from tests.support.metrics import numbers_here
from worker import PASSED_THROUGH
from workflows import ids
from workflows.payloads import DATA_CONVERTER

ADVICE = f"""
The order of the commands of a workflow has changed: the history `{{name}}` does not replay.
The recorded commands are

    {{commands}}

After a deployment, open runs with this history would be stuck with the same error.

- If the change is not intended: restore the order of the commands.
- If it is intended, before release 1.0.0: record the history again,
      {histories.RECORD} {{name}}
- If it is intended, after release 1.0.0: keep this history, and let the workflow take both ways,
      if workflow.patched("what-changed"):
          ...  # the new order
      else:
          ...  # the old order
  Then add a scenario of the new order to tests/replay/scenarios.py, and record it,
      {histories.RECORD} NAME

The error of the replay: {{error}}
"""


def advice(name: str, error: Exception) -> str:
    """The text of a failed replay: what has changed, and what to do."""
    commands = "\n    ".join(histories.commands(name))
    return ADVICE.format(name=name, commands=commands, error=error)


@pytest.fixture(scope="module")
def replayer() -> Replayer:
    """A replayer with the worker's workflows, data converter and sandbox."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return Replayer(
        workflows=list(WORKFLOWS.values()),
        data_converter=DATA_CONVERTER,
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
    )


@pytest.mark.parametrize("name", histories.names())
async def test_a_recorded_run_replays(replayer: Replayer, name: str) -> None:
    history = histories.load(name)
    failure = await error_of(replayer, history)
    if failure is not None:
        pytest.fail(advice(name, failure), pytrace=False)


async def test_a_replay_does_not_change_the_metrics(replayer: Replayer) -> None:
    before = numbers_here()
    for name in ("add_committed", "add_rejected_for_stock", "add_settled_when_mongodb_is_back"):
        assert await error_of(replayer, histories.load(name)) is None
    assert numbers_here().since(before).by("outcome", "cart_saga_count_total") == {}


def test_every_scenario_is_recorded_and_every_workflow_has_one() -> None:
    missing = f"record a history for each scenario: `{histories.RECORD}`"
    assert histories.names() == sorted(SCENARIOS), missing
    assert {name.partition("_")[0] for name in SCENARIOS} == set(WORKFLOWS)


@pytest.mark.parametrize("name", histories.names())
def test_the_commands_stored_with_a_history_are_those_of_its_events(name: str) -> None:
    assert histories.commands(name) == histories.commands_of(histories.load(name))


@workflow.defn(name=ids.SWEEP, sandboxed=False)
class SweepWithATimer:
    """The sweep with a timer before its activity."""

    @workflow.run
    async def run(self) -> int:
        await asyncio.sleep(timedelta(seconds=1).total_seconds())
        return 0


async def test_a_changed_order_of_commands_fails_with_advice() -> None:
    replayer = Replayer(workflows=[SweepWithATimer], data_converter=DATA_CONVERTER)
    failure = await error_of(replayer, histories.load("sweep"))
    assert isinstance(failure, workflow.NondeterminismError)
    text = advice("sweep", failure)
    assert "order of the commands of a workflow has changed" in text
    assert "python -m tests.replay.record sweep" in text
    assert 'workflow.patched("what-changed")' in text
    assert histories.commands("sweep")[0] in text


async def error_of(replayer: Replayer, history: WorkflowHistory) -> Exception | None:
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    return result.replay_failure
