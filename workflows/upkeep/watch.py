"""The watch over reservations: a look by a schedule."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.watch import WatchActivities
    from workflows import ids, policies


@workflow.defn(name=ids.WATCH_HOLDS)
class WatchHoldsWorkflow:
    """One look at as many carts as can be compared in a second."""

    @workflow.run
    async def run(self) -> str:
        """Returns a summary. A system that is away is reported elsewhere, and is no failure."""
        try:
            return await workflow.execute_activity_method(
                WatchActivities.watch, workflow.info().workflow_start_time, **policies.WATCH
            )
        except ActivityError as error:
            if _is_a_bug(error.cause):
                raise
            return f"could not look: {error.cause}"


def _is_a_bug(cause: BaseException | None) -> bool:
    return (
        isinstance(cause, ApplicationError)
        and cause.category is not ApplicationErrorCategory.BENIGN
    )
