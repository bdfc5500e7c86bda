"""End the checkouts whose time is over (`CHECKOUT_MINUTES`)."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.passes import CartPasses
    from models.upkeep.passes import PassInput, PassResult
    from workflows import ids
    from workflows.upkeep.cart_pass import CartPass


@workflow.defn(name=ids.END_CHECKOUTS)
class EndCheckoutsWorkflow:
    """One pass over the carts whose checkout has ended."""

    @workflow.run
    async def run(self, start: PassInput) -> PassResult:
        """Returns how many checkouts were ended, and how many were left."""
        step = CartPasses.thaw_page
        return await CartPass(start, step=step, what="checkouts that ended", done="thawed").run()
