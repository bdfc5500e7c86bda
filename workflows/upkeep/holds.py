"""Give back the units of carts whose holds have ended (`HOLD_MINUTES`)."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.passes import CartPasses
    from models.upkeep.passes import PassInput, PassResult
    from workflows import ids
    from workflows.upkeep.cart_pass import CartPass


@workflow.defn(name=ids.END_HOLDS)
class EndHoldsWorkflow:
    """One pass over the carts whose holds have ended."""

    @workflow.run
    async def run(self, start: PassInput) -> PassResult:
        """Returns of how many carts the holds were ended, and how many were left."""
        step = CartPasses.lapse_page
        return await CartPass(start, step=step, what="holds that ended", done="given back").run()
