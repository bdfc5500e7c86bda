"""Extend the holds of a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.operations import ExtendHolds
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=ExtendHolds.name)
class ExtendHoldsWorkflow(CartWorkflow[ExtendHolds]):
    """Load the cart, reserve its units that are no longer held, store the new end of its holds,
    then show it."""

    @workflow.run
    async def run(self, operation: ExtendHolds) -> OperationResult:
        """Returns how the operation ended: `unchanged` when the holds cannot be extended."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: ExtendHolds) -> None:
        # Before the pivot.
        cart = await saga.load_cart()
        # Undo: release_inventory.
        await saga.reserve_inventory(cart)
        # The pivot. Undo: settle_operation, unless the cart turns out to be stored.
        await saga.persist_cart(expected=cart)
        # After the pivot.
        await saga.complete(saga.refresh_cache)
