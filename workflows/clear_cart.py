"""Delete a cart: by its user, by a completed order, or because it has expired."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.messages import ClearCart, ClearCartInput, OperationResult, Recorded
    from workflows import ids
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=ids.CLEAR_CART)
class ClearCartWorkflow(CartWorkflow):
    """pivot: cart deleted, record · retriable: release all lines, event."""

    @workflow.run
    async def run(self, request: ClearCartInput) -> OperationResult:
        """Answers how the operation ended."""
        saga = Saga(ids.CLEAR_CART, request)
        return await self.carry_out(saga, self._steps(saga, request))

    async def _steps(self, saga: Saga, request: ClearCartInput) -> Recorded:
        return await saga.commit(ClearCart(request=request))
