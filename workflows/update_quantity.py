"""Change the quantity of a product in a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.checks import refusal_of_update
    from models.errors import VersionConflict
    from models.messages import OperationResult, Refusal, SetQuantity, UpdateQuantityInput
    from models.steps import LoadedCart, Recorded
    from workflows import ids
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=ids.UPDATE_QUANTITY)
class UpdateQuantityWorkflow(CartWorkflow):
    """compensatable: load and reserve the more · pivot · retriable: release the less, event."""

    @workflow.run
    async def run(self, request: UpdateQuantityInput) -> OperationResult:
        """`unchanged` when the line has this quantity already."""
        saga = Saga(ids.UPDATE_QUANTITY, request, product_id=request.product_id)
        return await self.carry_out(saga, self._steps(saga, request))

    async def _steps(self, saga: Saga, request: UpdateQuantityInput) -> Recorded | None:
        cart = await saga.load_and_reserve(request)
        before = cart.line_quantity
        if request.quantity == before:
            return None

        def line_is_as_it_was(moved: LoadedCart) -> Refusal | None:
            # What was reserved is the difference to this quantity, and to no other.
            refusal = refusal_of_update(moved, request)
            if refusal is None and moved.line_quantity != before:
                raise VersionConflict("the line was changed meanwhile")
            return refusal

        return await saga.commit(SetQuantity(request=request), line_is_as_it_was)
