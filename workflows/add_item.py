"""Add an item to a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.cart_facts import NO_CART
    from models.errors import VersionConflict
    from models.operations import AddItem
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga
    from workflows.steps import is_first_try


@workflow.defn(name=AddItem.name)
class AddItemWorkflow(CartWorkflow[AddItem]):
    """Reserve the units, store the cart, then show it and publish the event.

    The cart is not read before: it matters only when units of its line are no longer held, which
    the pivot finds. They are reserved then as well.

    The caller is answered by `refresh_cache`, once the cart is stored.
    """

    @workflow.run
    async def run(self, operation: AddItem) -> OperationResult:
        """Returns how the operation ended; its answer is in the operation's record."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: AddItem) -> None:
        # Before the pivot. Undo: release_inventory.
        cart = NO_CART if is_first_try() else await saga.load_cart()
        await saga.reserve_inventory(cart)
        # The pivot. Undo: settle_operation, unless the cart turns out to be stored.
        try:
            await saga.persist_cart(expected=cart)
        except VersionConflict:
            cart = await saga.load_cart()
            await saga.reserve_inventory(cart)
            await saga.persist_cart(expected=cart)
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event)
