"""Delete a cart: by its user, by a completed order, or because it has expired."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.scans import ScanActivities
    from models.checks import refusal_of_cart
    from models.errors import VersionConflict
    from models.messages import ClearCart, ClearCartInput, OperationResult
    from models.steps import FindOrdered, LoadedCart, Recorded
    from workflows import ids, policies
    from workflows.cart_workflow import CartWorkflow, unless_nothing_changes
    from workflows.saga import Saga
    from workflows.steps import step


@workflow.defn(name=ids.CLEAR_CART)
class ClearCartWorkflow(CartWorkflow):
    """pivot: cart deleted, record · retriable: release all lines, event.

    For an order that says which version of the cart it took: compensatable: load, find what is
    left of that; what came into the cart later stays.
    """

    @workflow.run
    async def run(self, request: ClearCartInput) -> OperationResult:
        """`unchanged` when nothing of what was ordered is in the cart any more."""
        saga = Saga(ids.CLEAR_CART, request)
        return await self.carry_out(saga, unless_nothing_changes(self._steps(saga, request)))

    async def _steps(self, saga: Saga, request: ClearCartInput) -> Recorded:
        if request.cart_version is not None and request.cart_id is not None:
            return await self._ordered(saga, request, request.cart_id, request.cart_version)
        return await saga.commit(ClearCart(request=request, ordered=request.items))

    async def _ordered(
        self, saga: Saga, request: ClearCartInput, cart_id: str, version: int
    ) -> Recorded:
        cart = await saga.load(lambda cart: refusal_of_cart(cart, cart_id))
        if cart.version <= version:
            return await saga.commit(ClearCart(request=request, ordered=request.items))
        ordered = await step(
            "mongodb",
            workflow.execute_local_activity_method(
                ScanActivities.find_ordered,
                FindOrdered(cart_id=cart_id, cart_version=version, items=request.items),
                **policies.LOAD,
            ),
        )

        def cart_is_as_it_was(moved: LoadedCart) -> None:
            if moved.version != cart.version:
                raise VersionConflict("the cart was changed meanwhile")

        return await saga.commit(
            ClearCart(request=request, ordered=ordered.lines), cart_is_as_it_was
        )
