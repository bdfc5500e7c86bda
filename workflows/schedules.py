"""What happens by the clock, as Temporal schedules; making one that exists changes nothing."""

from datetime import timedelta

from temporalio import workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)

with workflow.unsafe.imports_passed_through():
    from activities.outbox import OutboxActivities
    from workflows import ids, policies

SWEEP_EVERY = timedelta(seconds=15)
SWEEP_AGE_SECONDS = 10.0
"""A relay is woken for effects that have been pending for longer than this: sagas and the relays
that they wake are done by then, unless something is in their way."""


@workflow.defn(name=ids.SWEEP)
class SweepWorkflow:
    """Wakes relays for what has been pending too long, so that a lost wake is no lost effect."""

    @workflow.run
    async def run(self) -> int:
        """Answers how many relays were woken."""
        return await workflow.execute_activity_method(
            OutboxActivities.wake_waiting, SWEEP_AGE_SECONDS, **policies.WAKE_WAITING
        )


async def ensure_schedules(client: Client, *, task_queue: str) -> None:
    """Makes the schedules that do not exist."""
    sweep = Schedule(
        action=ScheduleActionStartWorkflow(SweepWorkflow.run, id="sweep", task_queue=task_queue),
        spec=ScheduleSpec(
            intervals=[ScheduleIntervalSpec(every=SWEEP_EVERY)],
        ),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=SWEEP_EVERY),
    )
    try:
        await client.create_schedule(ids.SWEEP_SCHEDULE, sweep)
    except ScheduleAlreadyRunningError:
        return
