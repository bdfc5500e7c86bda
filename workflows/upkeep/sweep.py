"""Wake relays for effects that have been pending too long."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.outbox import OutboxActivities
    from workflows import ids, policies

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
