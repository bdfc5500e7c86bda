"""Mark lines of a cart as out of stock, or as available again."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.messages import MarkAvailability, MarkAvailabilityInput, OperationResult
    from models.steps import Recorded
    from workflows import ids
    from workflows.cart_workflow import CartWorkflow, unless_nothing_changes
    from workflows.saga import Saga


@workflow.defn(name=ids.MARK_AVAILABILITY)
class MarkAvailabilityWorkflow(CartWorkflow):
    """pivot: status and reason of the lines, record · retriable: cache."""

    @workflow.run
    async def run(self, request: MarkAvailabilityInput) -> OperationResult:
        """`unchanged` when all lines know better, or the products are not in the cart."""
        saga = Saga(ids.MARK_AVAILABILITY, request)
        return await self.carry_out(saga, unless_nothing_changes(self._steps(saga, request)))

    async def _steps(self, saga: Saga, request: MarkAvailabilityInput) -> Recorded:
        return await saga.commit(MarkAvailability(request=request))
