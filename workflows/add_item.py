"""Add an item to a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.checks import refusal_of_room
    from models.messages import AddItemInput, AddLine, OperationResult, Refusal
    from models.steps import LoadedCart, Recorded
    from workflows import ids
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=ids.ADD_ITEM)
class AddItemWorkflow(CartWorkflow):
    """compensatable: reserve · pivot: limits, cart and record, shown · retriable: event."""

    @workflow.run
    async def run(self, request: AddItemInput) -> OperationResult:
        """Answers how the operation ended; the answer's body stands in the run's record."""
        saga = Saga(ids.ADD_ITEM, request, product_id=request.product_id)
        return await self.carry_out(saga, self._steps(saga, request))

    async def _steps(self, saga: Saga, request: AddItemInput) -> Recorded:
        def room(cart: LoadedCart) -> Refusal | None:
            units = cart.line_quantity + request.quantity
            return refusal_of_room(cart, request.policy, units=units, price=request.product_price)

        await saga.reserve(request.product_id, request.quantity, room)
        return await saga.commit(AddLine(request=request))
