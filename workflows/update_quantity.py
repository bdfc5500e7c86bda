"""Set the quantity of an item in a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.operations import UpdateQuantity
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=UpdateQuantity.name)
class UpdateQuantityWorkflow(CartWorkflow[UpdateQuantity]):
    """Load the cart, reserve additional units, store the cart, then show it, publish the event and
    release units that are no longer needed."""

    @workflow.run
    async def run(self, operation: UpdateQuantity) -> OperationResult:
        """Returns how the operation ended: `unchanged` when the line had this quantity already."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: UpdateQuantity) -> None:
        # Before the pivot.
        cart = await saga.load_cart()
        # Undo: release_inventory.
        await saga.reserve_inventory(cart)
        # The pivot. Undo: settle_operation, unless the cart turns out to be stored.
        await saga.persist_cart(expected=cart)
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event, saga.release_inventory)
