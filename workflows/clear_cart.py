"""Clear a cart: by its user, or because it has expired."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.operations import ClearCart
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=ClearCart.name)
class ClearCartWorkflow(CartWorkflow[ClearCart]):
    """Delete the cart, then publish the event and release its units."""

    @workflow.run
    async def run(self, operation: ClearCart) -> OperationResult:
        """Returns how the operation ended: `unchanged` when the cart has not expired."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: ClearCart) -> None:
        # The pivot. Undo: settle_operation, unless the cart turns out to be cleared.
        await saga.persist_cart()
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event, saga.release_inventory)
