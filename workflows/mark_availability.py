"""Mark lines of a cart as out of stock, or as available again."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.operations import MarkAvailability
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=MarkAvailability.name)
class MarkAvailabilityWorkflow(CartWorkflow[MarkAvailability]):
    """Store the availability of the lines, then show the cart."""

    @workflow.run
    async def run(self, operation: MarkAvailability) -> OperationResult:
        """Returns how the operation ended: `unchanged` when all lines have newer information, or
        the products are not in the cart."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: MarkAvailability) -> None:
        # The pivot. Undo: settle_operation, unless the cart turns out to be stored.
        await saga.persist_cart()
        # After the pivot.
        await saga.complete(saga.refresh_cache)
