"""Measure the business: what all carts come to, and how carts ended."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.figures import FigureActivities
    from workflows import ids, policies


@workflow.defn(name=ids.FIGURES)
class FiguresWorkflow:
    """One aggregation; its document is what every process shows as metrics."""

    @workflow.run
    async def run(self) -> str:
        """Answers the figures, as JSON text."""
        return await workflow.execute_activity_method(
            FigureActivities.measure, workflow.info().workflow_start_time, **policies.MEASURE
        )
