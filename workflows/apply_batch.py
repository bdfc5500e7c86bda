"""Apply a batch of changes to a cart."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.cart_facts import CartFacts
    from models.operations import ApplyBatch
    from models.outcomes import OperationResult
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga


@workflow.defn(name=ApplyBatch.name)
class ApplyBatchWorkflow(CartWorkflow[ApplyBatch]):
    """Load the cart, reserve additional units of all products, store the cart, then show it,
    publish an event for each line and release units that are no longer needed."""

    @workflow.run
    async def run(self, operation: ApplyBatch) -> OperationResult:
        """Returns how the operation ended: `unchanged` when the cart already was so."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: ApplyBatch) -> None:
        # Before the pivot.
        cart = await saga.load_cart()
        # Undo: release_inventory.
        if operation.mode == "best_effort":
            operation = await _reserve_what_there_is(saga, operation, cart)
        else:
            await saga.reserve_inventory(cart)
        # The pivot. Undo: settle_operation, unless the cart turns out to be stored.
        await saga.persist_cart(operation, expected=cart)
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event, saga.release_inventory)


async def _reserve_what_there_is(saga: Saga, operation: ApplyBatch, cart: CartFacts) -> ApplyBatch:
    """Reserves the units of all steps and, of products with too few, those of the steps for which
    they suffice. Returns the batch with what it has found."""
    saga.register_earlier(*operation.undo_of(saga.run, cart))
    wanted = operation.reservations(saga.run, cart)
    missing = await saga.try_reserve_all(wanted)
    if missing:
        operation = operation.with_too_few(missing, cart)
        parts = operation.parts(saga.run, cart)
        if others := await saga.try_reserve_all(parts):  # taken by others meanwhile
            operation = operation.with_too_few(others, cart)
    needed = {
        one.id
        for one in (*operation.reservations(saga.run, cart), *operation.parts(saga.run, cart))
    }
    undo = tuple(one for one in saga.reservations.undo or () if one.id not in needed)
    return operation.model_copy(update={"undo": undo})
