"""Cancel an order."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.errors import DependencyUnavailable
    from models.operations import CancelOrder
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=CancelOrder.name)
class CancelOrderWorkflow(CartWorkflow[CancelOrder]):
    """Find what the order has, store that it is cancelled, with its cart thawed, then publish the
    event and give back the units that were booked.

    The inventory takes units back that are released with the reason `order_cancelled`."""

    @workflow.run
    async def run(self, operation: CancelOrder) -> OperationResult:
        """Returns how the operation ended."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: CancelOrder) -> None:
        # Before the pivot.
        cart = await saga.load_cart()
        if cart.cancellation is not None and cart.cancellation.is_booking:
            # The inventory can only give back what it has booked.
            detail = f"units of order {operation.request.order_id} are still to be booked"
            raise DependencyUnavailable("inventory", detail)
        # The pivot. Undo: settle_operation, unless the order turns out to be cancelled.
        found = {"cancellation": cart.cancellation}
        await saga.persist_cart(operation.model_copy(update=found), expected=cart)
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event, saga.release_inventory)
