"""The schedules: as they are described, with bounds and a note for the Web UI."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from temporalio.client import (
    ScheduleActionStartWorkflow,
    ScheduleOverlapPolicy,
    ScheduleUpdate,
)
from temporalio.workflow import _Definition

from models.upkeep.reconcile import ReconcileInput
from tests.support.schedules import paused_schedules
from tests.support.shop import World
from tests.support.waiting import eventually
from worker import WORKFLOWS
from workflows import ids
from workflows.upkeep.schedules import SCHEDULES, Timed, ensure_schedules, schedules

each = pytest.mark.parametrize("timed", SCHEDULES, ids=lambda timed: timed.schedule_id)


@each
async def test_each_schedule_has_its_bounds_and_a_note(world: World, timed: Timed) -> None:
    """As Temporal has it, and the Web UI shows it."""
    made = (await world.temporal.get_schedule_handle(timed.schedule_id).describe()).schedule
    assert [every.every for every in made.spec.intervals] == [timed.every]
    assert timedelta(0) < (made.spec.jitter or timedelta(0)) < timed.every
    assert made.policy.catchup_window == timed.catch_up
    assert timedelta(seconds=10) <= timed.catch_up <= timed.every
    assert made.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert made.state.note == timed.note
    assert isinstance(made.action, ScheduleActionStartWorkflow)
    assert made.action.execution_timeout == timed.at_most > timed.every / 2


@each
def test_each_schedule_starts_a_workflow_that_the_worker_has(timed: Timed) -> None:
    names = {definition_name(workflow) for workflow in WORKFLOWS}
    assert timed.workflow in names


def definition_name(workflow: type) -> str | None:
    definition: _Definition = getattr(workflow, "__temporal_workflow_definition")
    return definition.name


async def test_what_an_earlier_release_has_left_is_corrected(world: World) -> None:
    """Its interval and queue, but not that an operator has paused it."""
    timed = SCHEDULES[0]
    handle = world.temporal.get_schedule_handle(timed.schedule_id)
    queue = world.settings.temporal_task_queue
    old = replace(timed, every=timedelta(hours=3), note="as in an earlier release").schedule("gone")

    async def has(note: str, *, paused: bool) -> None:
        state = (await handle.describe()).schedule.state
        assert (state.note, state.paused) == (note, paused)

    # Temporal applies each change a little later, and may take those of one moment in any order.
    await handle.update(lambda _: ScheduleUpdate(old))
    await eventually(partial(has, "as in an earlier release", paused=False))
    try:
        await handle.pause(note="for maintenance")
        await eventually(partial(has, "for maintenance", paused=True))
        await ensure_schedules(world.temporal, task_queue=queue, repairs=False)

        async def corrected() -> None:
            made = (await handle.describe()).schedule
            assert isinstance(made.action, ScheduleActionStartWorkflow)
            assert made.action.task_queue == queue
            assert made.action.execution_timeout == timed.at_most
            assert [every.every for every in made.spec.intervals] == [timed.every]

        await eventually(corrected)
        await has("for maintenance", paused=True)
    finally:
        await handle.unpause(note=timed.note)
        await eventually(partial(has, timed.note, paused=False))
        await ensure_schedules(world.temporal, task_queue=queue, repairs=False)


@each
async def test_each_schedule_completes_a_run_when_it_is_triggered(
    world: World, timed: Timed
) -> None:
    """With the arguments of the schedule, on the stack's worker; a failed run raises."""
    handle = world.temporal.get_schedule_handle(timed.schedule_id)
    async with paused_schedules(world.temporal):
        before = (await handle.describe()).info.num_actions
        await handle.trigger()
        started = await _latest(world, timed, before)
        await world.temporal.get_workflow_handle(started).result()


async def _latest(world: World, timed: Timed, before: int) -> str:
    handle = world.temporal.get_schedule_handle(timed.schedule_id)

    async def begun() -> str:
        info = (await handle.describe()).info
        assert info.num_actions > before
        action = info.recent_actions[-1].action
        assert hasattr(action, "workflow_id")
        return str(action.workflow_id)

    return await eventually(begun)


def test_the_daily_comparison_repairs_only_where_it_is_switched_on() -> None:
    def request(repairs: bool) -> Any:
        [timed] = [one for one in schedules(repairs=repairs) if one.workflow == ids.RECONCILE]
        return timed.arguments

    assert request(repairs=False) == (ReconcileInput(fix=False),)
    assert request(repairs=True) == (ReconcileInput(fix=True),)
