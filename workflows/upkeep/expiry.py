"""Clear carts that have not changed for `CART_EXPIRY_DAYS`, so that they release their stock."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.passes import CartPasses
    from models.upkeep.passes import PassInput, PassResult
    from workflows import ids
    from workflows.upkeep.cart_pass import CartPass


@workflow.defn(name=ids.EXPIRY)
class ExpiryWorkflow:
    """One pass over the carts that have expired."""

    @workflow.run
    async def run(self, start: PassInput) -> PassResult:
        """Returns how many carts were cleared, and how many were left."""
        step = CartPasses.expire_page
        return await CartPass(start, step=step, what="carts that expired", done="cleared").run()
