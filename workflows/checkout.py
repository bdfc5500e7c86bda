"""Check a cart out."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.operations import Checkout
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=Checkout.name)
class CheckoutWorkflow(CartWorkflow[Checkout]):
    """Load the cart, reserve its units that are not held, store it frozen, then show it and publish
    the event."""

    @workflow.run
    async def run(self, operation: Checkout) -> OperationResult:
        """Returns how the operation ended; its answer is in the operation's record."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: Checkout) -> None:
        # Before the pivot.
        cart = await saga.load_cart()
        # Undo: release_inventory.
        await saga.reserve_inventory(cart)
        # The pivot. Undo: settle_operation, unless the cart turns out to be stored.
        await saga.persist_cart(expected=cart)
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event)
