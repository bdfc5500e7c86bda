"""What happens by the clock, as Temporal schedules; making one that exists changes nothing.

An operator sees, pauses and triggers them in the Web UI.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)

from models.upkeep.expiry import ExpiryInput
from models.upkeep.reconcile import DEFAULT_LIMIT, ReconcileInput
from workflows import ids

SWEEP_EVERY = timedelta(seconds=15)
WATCH_EVERY = timedelta(seconds=15)


@dataclass(frozen=True)
class Timed:
    """A workflow by the clock. One that still runs is not started again.

    `jitter` spreads the starts, `catch_up` is how long a start may be late after an outage.
    """

    schedule_id: str
    workflow: str
    arguments: tuple[Any, ...]
    every: timedelta
    jitter: timedelta
    catch_up: timedelta
    note: str

    def schedule(self, task_queue: str) -> Schedule:
        """As Temporal has it."""
        return Schedule(
            action=ScheduleActionStartWorkflow(
                self.workflow,
                args=self.arguments,
                id=self.schedule_id,
                task_queue=task_queue,
                static_summary=self.note,
            ),
            spec=ScheduleSpec(
                intervals=[ScheduleIntervalSpec(every=self.every)], jitter=self.jitter
            ),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=self.catch_up),
            state=ScheduleState(note=self.note),
        )


SCHEDULES = (
    Timed(
        ids.SWEEP_SCHEDULE,
        ids.SWEEP,
        (),
        every=SWEEP_EVERY,
        jitter=timedelta(seconds=1),
        catch_up=SWEEP_EVERY,
        note="Wakes relays for effects that have been pending for more than ten seconds",
    ),
    Timed(
        ids.WATCH_SCHEDULE,
        ids.WATCH_HOLDS,
        (),
        every=WATCH_EVERY,
        jitter=timedelta(seconds=1),
        catch_up=timedelta(seconds=10),
        note="Compares carts and holds for a second, and tells of units that no cart explains",
    ),
    Timed(
        ids.EXPIRY_SCHEDULE,
        ids.EXPIRY,
        (ExpiryInput(),),
        every=timedelta(minutes=5),
        jitter=timedelta(seconds=30),
        catch_up=timedelta(minutes=5),
        note="Clears the carts that have expired, so that they give their stock back",
    ),
    Timed(
        ids.FIGURES_SCHEDULE,
        ids.FIGURES,
        (),
        every=timedelta(minutes=5),
        jitter=timedelta(seconds=30),
        catch_up=timedelta(minutes=1),
        note="Measures the business: items and value of all carts, abandonment, conversion",
    ),
    Timed(
        ids.RECONCILE_SCHEDULE,
        ids.RECONCILE,
        (ReconcileInput(fix=True),),
        every=timedelta(days=1),
        jitter=timedelta(minutes=30),
        catch_up=timedelta(hours=6),
        note="Compares carts, holds, pending effects and cache, and repairs at most "
        f"{DEFAULT_LIMIT} carts",
    ),
)


async def ensure_schedules(client: Client, *, task_queue: str) -> None:
    """Makes the schedules that do not exist."""
    for timed in SCHEDULES:
        try:
            await client.create_schedule(timed.schedule_id, timed.schedule(task_queue))
        except ScheduleAlreadyRunningError:
            continue
