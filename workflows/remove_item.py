"""Take a product out of a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.messages import OperationResult, RemoveItemInput, RemoveLine
    from models.steps import Recorded
    from workflows import ids
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=ids.REMOVE_ITEM)
class RemoveItemWorkflow(CartWorkflow):
    """pivot: cart and record · retriable: release the line, event."""

    @workflow.run
    async def run(self, request: RemoveItemInput) -> OperationResult:
        """Answers how the operation ended."""
        saga = Saga(ids.REMOVE_ITEM, request, product_id=request.product_id)
        return await self.carry_out(saga, self._steps(saga, request))

    async def _steps(self, saga: Saga, request: RemoveItemInput) -> Recorded:
        return await saga.commit(RemoveLine(request=request))
