"""The sweep delivers effects whose wake was lost; and the schedule that runs it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import ScheduleHandle, ScheduleOverlapPolicy

from models.effects import EffectKind
from tests.support.relays import RelayBench, exists
from tests.support.schedules import paused_schedules
from tests.support.shop import World
from tests.support.waiting import eventually
from workflows import ids
from workflows.upkeep.schedules import SWEEP_EVERY, ensure_schedules
from workflows.upkeep.sweep import SWEEP_AGE_SECONDS, SweepWorkflow


@pytest.fixture
async def schedule(world: World) -> AsyncIterator[ScheduleHandle]:
    """The stack's schedule of the sweep, paused."""
    async with paused_schedules(world.temporal):
        yield world.temporal.get_schedule_handle(ids.SWEEP_SCHEDULE)


async def sweep(relays: RelayBench) -> int:
    return await relays.shop.world.temporal.execute_workflow(
        SweepWorkflow.run, id=f"sweep-{uuid4()}", task_queue=relays.settings.temporal_task_queue
    )


@pytest.mark.usefixtures("schedule")
async def test_the_sweep_wakes_the_relays_of_old_pending_effects(
    relays: RelayBench,
) -> None:
    event = await relays.plant_event(age=timedelta(seconds=SWEEP_AGE_SECONDS + 1))
    await relays.shop.stock("headphones", 10)
    release = await relays.plant_release("headphones", saga_id="saga-1", age=timedelta(days=1))
    assert await sweep(relays) >= 2

    async def done() -> None:
        for effect in (event, release):
            assert (await relays.effect(effect.id)).done_at is not None

    await eventually(done)
    assert await relays.handle(EffectKind.EVENT).result() == 1
    assert await relays.handle(EffectKind.RELEASE).result() == 1


@pytest.mark.usefixtures("schedule")
async def test_the_sweep_leaves_young_effects_to_their_sagas(relays: RelayBench) -> None:
    await relays.plant_event(age=timedelta(seconds=SWEEP_AGE_SECONDS / 2))
    await sweep(relays)
    assert not await exists(relays.handle())


async def test_the_schedule_is_created_once(world: World, schedule: ScheduleHandle) -> None:
    before = await schedule.describe()
    assert before.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert [every.every for every in before.schedule.spec.intervals] == [SWEEP_EVERY]
    queue = world.settings.temporal_task_queue
    await ensure_schedules(world.temporal, task_queue=queue, repairs=False)
    after = await schedule.describe()
    assert (after.schedule.action, after.schedule.state.paused) == (before.schedule.action, True)


async def test_a_deleted_schedule_is_created_again(world: World, schedule: ScheduleHandle) -> None:
    await schedule.delete()
    for _ in range(2):
        await ensure_schedules(
            world.temporal, task_queue=world.settings.temporal_task_queue, repairs=False
        )
    assert not (await schedule.describe()).schedule.state.paused
