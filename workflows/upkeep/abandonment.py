"""Publish which carts their users have abandoned (`ABANDONED_AFTER_MINUTES`)."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.passes import CartPasses
    from models.upkeep.passes import PassInput, PassResult
    from workflows import ids
    from workflows.upkeep.cart_pass import CartPass


@workflow.defn(name=ids.ABANDONMENT)
class AbandonmentWorkflow:
    """One pass over the carts that are due to be abandoned."""

    @workflow.run
    async def run(self, start: PassInput) -> PassResult:
        """Returns how many carts were abandoned, and how many were left."""
        step = CartPasses.abandon_page
        return await CartPass(start, step=step, what="idle carts", done="abandoned").run()
