"""Pausing the schedules, so that a test sees only the effects of its own runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import Client

from tests.support.waiting import eventually
from workflows.upkeep.schedules import SCHEDULES


@asynccontextmanager
async def paused_schedules(client: Client) -> AsyncIterator[None]:
    """Inside, no schedule starts a run, and no run of a schedule is open."""
    handles = {client.get_schedule_handle(timed.schedule_id): timed for timed in SCHEDULES}
    for handle, timed in handles.items():
        await handle.pause(note=timed.note)

    async def quiet() -> None:
        for handle in handles:
            assert not (await handle.describe()).info.running_actions

    await eventually(quiet, timeout=60)
    try:
        yield
    finally:
        for handle, timed in handles.items():
            await handle.unpause(note=timed.note)
