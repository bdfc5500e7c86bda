"""Builds and carries out the operations that schedules start."""

from datetime import timedelta
from typing import Any

from adapters.mongo.batches import ScheduledChange
from adapters.mongo.cart_scans import CartRef
from adapters.mongo.store_policies import StorePolicies
from models.actor import Actor, ActorType
from models.cart import CartKey
from models.documents import Cart
from models.events import CART_ABANDONED, CART_CHECKOUT_EXPIRED, CART_CLEARED, CART_HOLD_EXPIRED
from models.limits import Policy
from models.operations import (
    AbandonCart,
    CancelCheckout,
    CartOperation,
    ClearCart,
    LapseHolds,
    RepairCart,
)
from models.outcomes import OperationResult
from models.privacy import EraseRun
from models.upkeep.passes import PassPage
from models.upkeep.reconcile import LookAgain, Suspect
from workflows import ids
from workflows.gateway import CartGateway
from workflows.requests import operation_fields

_AFTER_THE_LATEST_CHANGE = timedelta(milliseconds=1)
"""A saga of the cart starts later than that, because the latest one had to end first. So a record
with this date keeps the cart's order of events, also beside a saga that has started before the pass
and commits after it."""


def _fields(
    operation: type[CartOperation],
    policy: Policy,
    cart: CartRef,
    topic: str,
    name: str,
    *,
    schedule: str,
    **requested: str,
) -> dict[str, Any]:
    """The fields of a schedule's operation; `topic` and `name` tell it from all others."""
    return operation_fields(
        operation,
        cart.key,
        operation_id=ids.event_operation_id(topic, name, cart.key),
        requested=requested,
        actor=Actor(type=ActorType.SCHEDULE, id=schedule),
        policy=policy,
    )


def _after_latest_change(
    cart: CartRef, page: PassPage, operation: CartOperation, run_id: str
) -> ScheduledChange:
    """The change of a cart that stays, at the time of its page."""
    started_at = (cart.updated_at or page.at) + _AFTER_THE_LATEST_CHANGE
    saga = ids.saga_of(operation, run_id=run_id, started_at=started_at)
    return ScheduledChange(saga, operation, page.at)


def lapse_of(policy: Policy, cart: CartRef, page: PassPage, run_id: str) -> ScheduledChange:
    """The end of the holds of a cart that end by `page.before`; once in each pass."""
    name = f"{cart.cart_id}/{page.before.isoformat()}"
    operation = LapseHolds(
        **_fields(
            LapseHolds, policy, cart, CART_HOLD_EXPIRED, name, lapsed=cart.cart_id, schedule="holds"
        ),
        cart_id=cart.cart_id,
        ended_by=page.before,
    )
    return _after_latest_change(cart, page, operation, run_id)


def thaw_of(policy: Policy, cart: CartRef, page: PassPage, run_id: str) -> ScheduledChange:
    """The end of a cart's checkout that ends by `page.before`; once in each pass."""
    name = f"{cart.cart_id}/{page.before.isoformat()}"
    operation = CancelCheckout(
        **_fields(
            CancelCheckout,
            policy,
            cart,
            CART_CHECKOUT_EXPIRED,
            name,
            thawed=cart.cart_id,
            schedule="checkouts",
        ),
        cart_id=cart.cart_id,
        reason="expired",
        expired_by=page.before,
    )
    return _after_latest_change(cart, page, operation, run_id)


def expiry_of(policy: Policy, cart: CartRef, page: PassPage, run_id: str) -> ScheduledChange:
    """The clearing of a cart that has expired by `page.before`; once for each cart."""
    name = f"expired/{cart.cart_id}"
    operation = ClearCart(
        **_fields(
            ClearCart, policy, cart, CART_CLEARED, name, expired=cart.cart_id, schedule="expiry"
        ),
        cart_id=cart.cart_id,
        reason="expired",
        expired_by=page.before,
    )
    saga = ids.saga_of(operation, run_id=run_id, started_at=page.at)
    return ScheduledChange(saga, operation)


def abandonment_of(policy: Policy, cart: CartRef, page: PassPage, run_id: str) -> ScheduledChange:
    """The abandonment of a cart that is due by `page.before`; once for each change of the cart."""
    updated_at = cart.updated_at or page.before
    name = f"{cart.cart_id}/{updated_at.isoformat()}"
    operation = AbandonCart(
        **_fields(
            AbandonCart, policy, cart, CART_ABANDONED, name, abandoned=name, schedule="abandonment"
        ),
        cart_id=cart.cart_id,
        at=page.before,
        updated_at=updated_at,
    )
    return _after_latest_change(cart, page, operation, run_id)


async def erase_cart(
    gateway: CartGateway, policies: StorePolicies, cart: Cart, run: EraseRun
) -> OperationResult:
    """Clears the cart of a user whose data is erased, and waits for it; once for each cart."""
    name = f"erasure/{run.run}/{cart.id}"
    operation = ClearCart(
        **operation_fields(
            ClearCart,
            cart.key,
            operation_id=ids.event_operation_id(CART_CLEARED, name, cart.key),
            requested={"erased": str(cart.id)},
            actor=run.request.actor,
            policy=await policies.of(cart.store_id),
        ),
        cart_id=str(cart.id),
        reason="privacy_erasure",
    )
    return await gateway.carry_out(operation)


async def repair_cart(
    gateway: CartGateway, policies: StorePolicies, suspect: Suspect, request: LookAgain
) -> OperationResult:
    """Checks or repairs a cart, and waits for the result; once for each cart and `request.name`."""
    cart = CartKey(suspect.store_id, suspect.user_id)
    operation = RepairCart(
        **operation_fields(
            RepairCart,
            cart,
            operation_id=ids.event_operation_id("cart.repair", request.name, cart),
            requested={"fix": request.fix},
            actor=request.actor,
            policy=(await policies.of(cart.store_id)).at_checkout,
        ),
        reason=request.reason,
        fix=request.fix,
        stuck_before=request.stuck_before,
    )
    return await gateway.carry_out(operation)
