"""Apply a completed order to its cart, and book its units as sold."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.errors import DependencyUnavailable
    from models.operations import ApplyOrder
    from models.operations.apply_order import undo_of_units
    from models.orders import Ordered, OrderedUnits
    from models.outcomes import OperationResult, Refusal, RefusalCode, Refused
    from workflows.cart_workflow import CartWorkflow
    from workflows.reservations import AT_ONCE
    from workflows.saga import Saga


@workflow.defn(name=ApplyOrder.name)
class ApplyOrderWorkflow(CartWorkflow[ApplyOrder]):
    """Find what was ordered, reserve what the cart has no more of it, store the cart without the
    ordered units, then publish the events and book the units as sold.

    The inventory books units that are released with the reason `order_completed`.
    """

    @workflow.run
    async def run(self, operation: ApplyOrder) -> OperationResult:
        """Returns how the operation ended; its `short` is what could not be booked."""
        return await self.execute(operation)

    async def steps(self, saga: Saga, operation: ApplyOrder) -> None:
        # Before the pivot.
        cart = await saga.load_cart()
        if cart.ordered is None:
            raise Refused(Refusal(code=RefusalCode.CART_NOT_FOUND))
        ordered = cart.ordered
        if ordered.refused is not None:
            raise Refused(Refusal(code=RefusalCode(ordered.refused)))
        if operation.policy.reserve:
            # Undo: release_inventory.
            saga.register_earlier(*operation.undo_of(saga.run, cart))
            ordered = await _reserve_missing(saga, ordered)
        else:
            ordered = ordered.without_stock()
        if operation.request.leave_cart and not any(one.booked for one in ordered.units):
            raise Refused(Refusal(code=RefusalCode.INSUFFICIENT_STOCK, available=0))
        # The pivot. Undo: settle_operation, unless the order turns out to be applied.
        found = {"ordered": ordered, "undo": saga.reservations.undo_except(ordered.reservations)}
        await saga.persist_cart(operation.model_copy(update=found), expected=cart)
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.publish_event, saga.release_inventory)


async def _reserve_missing(saga: Saga, ordered: Ordered) -> Ordered:
    """Reserves what is not in the cart any more, or the part of it that can be had."""
    free = asyncio.Semaphore(AT_ONCE)

    async def reserve(units: OrderedUnits) -> OrderedUnits:
        if not units.missing:
            return units
        async with free:
            return await _reserve(saga, units, is_releasing=units.product_id in ordered.releasing)

    found = await asyncio.gather(*map(reserve, ordered.units), return_exceptions=True)
    units: list[OrderedUnits] = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        units.append(one)
    return ordered.model_copy(update={"units": tuple(units)})


async def _reserve(saga: Saga, units: OrderedUnits, *, is_releasing: bool) -> OrderedUnits:
    whole, part = undo_of_units(saga.run, units)
    answer = await saga.try_reserve(whole)
    if not answer.granted and is_releasing:
        detail = f"units of {units.product_id} from the cart are still to be released"
        raise DependencyUnavailable("inventory", detail)
    reserved = whole
    if not answer.granted and 0 < (answer.available or 0) < units.missing:
        reserved = part.model_copy(update={"quantity": answer.available})
        answer = await saga.try_reserve(reserved)
    if not answer.granted:
        return units
    found = {"reserved": reserved.quantity, "reservation": reserved.saga_id}
    return units.model_copy(update=found)
