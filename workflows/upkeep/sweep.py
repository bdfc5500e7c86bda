"""Wake relays for effects that have been pending too long."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.relay import RelayActivities
    from workflows import ids, policies

SWEEP_AGE_SECONDS = 10.0
"""Wake relays for effects that have been pending for longer; sagas, and the relays that they wake,
are normally done by then."""


@workflow.defn(name=ids.SWEEP)
class SweepWorkflow:
    """Wakes relays, so that a lost wake does not lose an effect."""

    @workflow.run
    async def run(self) -> int:
        """Returns how many relays were woken."""
        return await workflow.execute_activity_method(
            RelayActivities.wake_waiting, SWEEP_AGE_SECONDS, **policies.WAKE_WAITING
        )
