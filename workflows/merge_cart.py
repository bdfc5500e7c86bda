"""Merge a guest's cart into a user's."""

import asyncio
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.carts import CartActivities
    from models.cart_facts import CartFacts, GuestFacts
    from models.effects import EffectKind
    from models.merge import TakenUnits
    from models.operations import MergeCart
    from models.operations.base import UNDO, releases_of
    from models.operations.merge_cart import MOVED, PART
    from models.outcomes import OperationResult, Outcome
    from models.steps import ClaimCart, UnclaimCart
    from workflows import policies
    from workflows.cart_workflow import CartWorkflow
    from workflows.reservations import AT_ONCE
    from workflows.saga import Saga
    from workflows.steps import attempt, step


@workflow.defn(name=MergeCart.name)
class MergeCartWorkflow(CartWorkflow[MergeCart]):
    """Load both carts, claim the guest's, move its units to the user, store the user's cart and
    delete the guest's in one transaction, then show the cart and publish the events.

    The run has the lock of the user's cart, and the claim is that of the guest's. They are always
    taken in this order, and a guest's cart is never merged into, so no two merges wait for each
    other.
    """

    @workflow.run
    async def run(self, operation: MergeCart) -> OperationResult:
        """Returns how the operation ended: `unchanged` when the guest has no cart."""
        return await self.execute(operation)

    async def execute(self, operation: Any) -> OperationResult:
        result = await super().execute(operation)
        if result.outcome is Outcome.COMMITTED:
            return result
        saga = Saga(operation)
        await attempt(
            workflow.execute_local_activity_method(
                CartActivities.unclaim_cart,
                UnclaimCart(saga=saga.run, guest=operation.guest),
                **policies.UNCLAIM_CART,
            )
        )
        return result

    async def steps(self, saga: Saga, operation: MergeCart) -> None:
        # Before the pivot.
        cart = await saga.load_cart()
        if cart.guest is not None:
            # Undo: unclaim_cart.
            await _claim(saga, operation, cart.guest)
            # Undo: release_inventory, which gives the guest's units back to the guest.
            operation = await _take(saga, operation, cart)
        # The pivot. Undo: settle_operation, unless the carts turn out to be merged.
        await saga.persist_cart(operation, expected=cart)
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(
            saga.refresh_cache,
            saga.publish_event,
            saga.release_inventory,
            lambda: _end_guest(saga, operation),
        )


async def _claim(saga: Saga, operation: MergeCart, guest: GuestFacts) -> None:
    """Raises `VersionConflict` when the guest's cart has changed, or another merge has it."""
    saga.show("Claiming the guest's cart")
    await step(
        "mongodb",
        workflow.execute_local_activity_method(
            CartActivities.claim_cart,
            ClaimCart(
                saga=saga.run,
                guest=operation.guest,
                cart_id=guest.cart_id,
                version=guest.version,
            ),
            **policies.CLAIM_CART,
        ),
    )


async def _take(saga: Saga, operation: MergeCart, cart: CartFacts) -> MergeCart:
    """Moves the guest's units to the user, and reserves what the merge needs beside them; returns
    the operation with what could be had."""
    saga.register_earlier(*operation.undo_of(saga.run, cart))
    free = asyncio.Semaphore(AT_ONCE)

    async def take(product_id: str, moved: int, more: int) -> TakenUnits:
        async with free:
            return await _take_product(saga, operation.guest_id, product_id, (moved, more))

    wanted = operation.wanted(cart)
    if wanted:
        saga.show(f"Moving the guest's units of {len(wanted)} products")
    found = await asyncio.gather(
        *(take(product_id, *units) for product_id, units in wanted.items()),
        return_exceptions=True,
    )
    taken: list[TakenUnits] = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        taken.append(one)
    needed = {
        undo.id
        for one in taken
        for undo in saga.reservations.granted
        if undo.product_id == one.product_id
    }
    undo = tuple(one for one in saga.reservations.undo or () if one.id not in needed)
    return operation.model_copy(update={"taken": tuple(taken), "undo": undo})


async def _take_product(
    saga: Saga, guest_id: str, product_id: str, units: tuple[int, int]
) -> TakenUnits:
    """The units of a product that could be moved, and that could be reserved.

    An inventory that moves no units is asked for new ones, and the guest's are released later: so
    nobody can take them in between, but as many free units are needed.
    """
    to_move, to_reserve = units
    moved = 0
    if to_move:
        [undo] = releases_of(saga.run, {product_id: to_move}, UNDO, part=MOVED)
        answer = await saga.try_reserve(undo, from_user_id=guest_id)
        moved = to_move if answer.granted else 0
        to_reserve += to_move - moved
    reserved, accepted = 0, True
    part = None
    while to_reserve > 0:
        [undo] = releases_of(saga.run, {product_id: to_reserve}, UNDO, part=part)
        answer = await saga.try_reserve(undo)
        if answer.granted:
            reserved = to_reserve
            break
        accepted = answer.accepted
        if part is not None:  # others were faster
            break
        part, to_reserve = PART, min(answer.available or 0, to_reserve - 1)
    return TakenUnits(product_id=product_id, moved=moved, reserved=reserved, accepted=accepted)


async def _end_guest(saga: Saga, operation: MergeCart) -> None:
    """Leaves the effects of the guest's record to the relays of its cart."""
    guest = operation.guest
    await asyncio.gather(
        saga.wake_relay(EffectKind.EVENT, guest), saga.wake_relay(EffectKind.RELEASE, guest)
    )
