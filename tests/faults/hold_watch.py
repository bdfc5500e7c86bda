"""The watch over reservations, which releases what terminated runs have reserved.

It runs by a schedule; a test triggers it, and pauses it where it would repair what a bug has done.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tests.faults.rig import FaultRig
from tests.support.waiting import eventually
from workflows.ids import WATCH_SCHEDULE

LOOK_SECONDS = 1.0
"""Between two looks. Longer than a drift must be seen before it is repaired."""


async def watched(rig: FaultRig, store_id: str, *, timeout: float) -> None:
    """Triggers the watch until it has compared all carts and found no drift in the store.

    Raises `AssertionError` when there is still drift.
    """
    since = datetime.now(UTC)
    schedule = rig.temporal.get_schedule_handle(WATCH_SCHEDULE)

    async def clean() -> None:
        await schedule.trigger()
        watch = await rig.database["watches"].find_one()
        assert watch is not None
        assert watch["whole"] is not None
        assert watch["whole"]["began"] >= since
        drifts = [one["drift"]["detail"] for one in watch["drifts"] if one["store_id"] == store_id]
        assert not drifts, drifts

    await eventually(clean, timeout=timeout, interval=LOOK_SECONDS)


@asynccontextmanager
async def paused_watch(rig: FaultRig) -> AsyncIterator[None]:
    """Inside, the watch only looks when it is triggered."""
    schedule = rig.temporal.get_schedule_handle(WATCH_SCHEDULE)
    note = (await schedule.describe()).schedule.state.note
    await schedule.pause(note="paused by a test")

    async def quiet() -> None:
        assert not (await schedule.describe()).info.running_actions

    await eventually(quiet, timeout=60)
    try:
        yield
    finally:
        await schedule.unpause(note=note)
