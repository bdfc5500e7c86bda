"""End the checkout of a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.operations import CancelCheckout
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=CancelCheckout.name)
class CancelCheckoutWorkflow(CartWorkflow[CancelCheckout]):
    """Store the cart thawed, then show it, publish the event and release units that were held for
    the checkout alone."""

    @workflow.run
    async def run(self, operation: CancelCheckout) -> OperationResult:
        """Returns how the operation ended."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: CancelCheckout) -> None:
        # The pivot. Undo: settle_operation, unless the cart turns out to be stored.
        await saga.persist_cart()
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event, saga.release_inventory)
