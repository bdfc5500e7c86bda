"""Clear a cart: by its user, by a completed order, or because it has expired."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.scans import ScanActivities
    from models.cart import CartFacts
    from models.operations import ClearCart
    from models.outcomes import OperationResult
    from models.steps import FindOrdered
    from workflows import policies
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga
    from workflows.steps import step


@workflow.defn(name=ClearCart.name)
class ClearCartWorkflow(CartWorkflow[ClearCart]):
    """Delete the cart, then publish the event and release its units.

    For an order that names the version of the cart that it took, only what is left of that version
    is taken, so the cart is loaded first.
    """

    @workflow.run
    async def run(self, operation: ClearCart) -> OperationResult:
        """Returns how the operation ended: `unchanged` when nothing is left of what was ordered, or
        the cart has not expired."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: ClearCart) -> None:
        # Before the pivot.
        expected: CartFacts | None = None
        if operation.cart_version is not None:
            expected = await saga.load_cart()
            if expected.version > operation.cart_version:
                operation = await _left_of_order(operation, operation.cart_version)
        # The pivot. Undo: settle_operation, unless the cart turns out to be cleared.
        await saga.persist_cart(operation, expected=expected)
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event, saga.release_inventory)


async def _left_of_order(operation: ClearCart, cart_version: int) -> ClearCart:
    """The operation with the lines that were ordered and are still in the cart."""
    ordered = await step(
        "mongodb",
        workflow.execute_local_activity_method(
            ScanActivities.find_ordered,
            FindOrdered(
                cart_id=operation.cart_id or "", cart_version=cart_version, items=operation.items
            ),
            **policies.LOAD_CART,
        ),
    )
    return operation.model_copy(update={"items": ordered.lines})
