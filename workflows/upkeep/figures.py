"""Measure the business: items and value of all carts, and how carts ended."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.figures import FigureActivities
    from workflows import ids, policies


@workflow.defn(name=ids.FIGURES)
class FiguresWorkflow:
    """One aggregation. Every worker exports its document as metrics."""

    @workflow.run
    async def run(self) -> str:
        """Returns the figures, as JSON text."""
        return await workflow.execute_activity_method(
            FigureActivities.measure, workflow.info().workflow_start_time, **policies.MEASURE
        )
