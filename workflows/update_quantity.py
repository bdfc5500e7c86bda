"""Change the quantity of a product in a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.errors import VersionConflict
    from models.messages import OperationResult, SetQuantity, UpdateQuantityInput
    from models.steps import LoadedCart, Recorded
    from workflows import ids
    from workflows.cart_workflow import CartWorkflow
    from workflows.checks import require_line, require_room
    from workflows.saga import Saga


@workflow.defn(name=ids.UPDATE_QUANTITY)
class UpdateQuantityWorkflow(CartWorkflow):
    """compensatable: load, reserve the more · pivot · retriable: release the less, event."""

    @workflow.run
    async def run(self, request: UpdateQuantityInput) -> OperationResult:
        """`unchanged` when the line has this quantity already."""
        saga = Saga(ids.UPDATE_QUANTITY, request, product_id=request.product_id)
        return await self.carry_out(saga, self._steps(saga, request))

    async def _steps(self, saga: Saga, request: UpdateQuantityInput) -> Recorded | None:
        def has_line(cart: LoadedCart) -> None:
            require_line(cart, request.cart_id)

        def difference(cart: LoadedCart) -> int:
            return request.quantity - cart.line_quantity

        cart = await saga.load(has_line, reserves=difference)
        before = cart.line_quantity
        if request.quantity == before:
            return None
        if request.quantity > before:
            require_room(cart, request.policy, units=request.quantity, price=cart.line_price)
            await saga.reserve(request.product_id, difference(cart))

        def line_is_as_it_was(moved: LoadedCart) -> None:
            # What was reserved is the difference to this quantity, and to no other.
            has_line(moved)
            if moved.line_quantity != before:
                raise VersionConflict("the line was changed meanwhile")

        return await saga.commit(SetQuantity(request=request), line_is_as_it_was)
