"""Add an item to a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.cart import MAX_QUANTITY
    from models.messages import (
        AddItemInput,
        AddLine,
        LoadedCart,
        OperationResult,
        Recorded,
        Refusal,
    )
    from workflows import ids
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Refused, Saga


@workflow.defn(name=ids.ADD_ITEM)
class AddItemWorkflow(CartWorkflow):
    """compensatable: load ‖ reserve · pivot: cart and record, shown · retriable: event."""

    @workflow.run
    async def run(self, request: AddItemInput) -> OperationResult:
        """Answers how the operation ended; the answer's body stands in the run's record."""
        saga = Saga(ids.ADD_ITEM, request, product_id=request.product_id)
        return await self.carry_out(saga, self._steps(saga, request))

    async def _steps(self, saga: Saga, request: AddItemInput) -> Recorded:
        def within_limits(cart: LoadedCart) -> None:
            check_limits(cart, request)

        await saga.hold(within_limits, request.product_id, request.quantity)
        return await saga.commit(AddLine(request=request), within_limits)


def check_limits(cart: LoadedCart, request: AddItemInput) -> None:
    """Raises `Refused` when the line or the cart would grow beyond its limit."""
    if cart.line_quantity + request.quantity > MAX_QUANTITY:
        raise Refused(
            Refusal(code="quantity_limit", current=cart.line_quantity, limit=MAX_QUANTITY)
        )
    if cart.line_quantity == 0 and cart.line_count >= request.policy.max_lines:
        raise Refused(
            Refusal(code="line_limit", current=cart.line_count, limit=request.policy.max_lines)
        )
