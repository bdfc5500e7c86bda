"""What the clock wants of a cart, as an operation: under which id, and for what."""

from datetime import datetime

from adapters.mongo.expiry import ExpiredCart
from models.events import CART_CLEARED
from models.messages import ClearCartInput, OperationResult, Policy, RepairCartInput
from models.upkeep.reconcile import LookAgain, Suspect
from workflows import ids
from workflows.gateway import CartGateway, fingerprint, new_attempt


async def expire_cart(
    gateway: CartGateway, policy: Policy, cart: ExpiredCart, before: datetime
) -> OperationResult:
    """Clears a cart if it still has expired by `before`, and waits for it; once for each cart."""
    request = ClearCartInput(
        store_id=cart.store_id,
        user_id=cart.user_id,
        operation_id=ids.event_operation_id(
            CART_CLEARED, f"expired/{cart.cart_id}", cart.store_id, cart.user_id
        ),
        attempt_id=new_attempt(),
        fingerprint=fingerprint(ids.CLEAR_CART, {"expired": cart.cart_id}),
        policy=policy,
        cart_id=cart.cart_id,
        reason="expired",
        expired_by=before,
    )
    return await gateway.carry_out(request)


async def repair_cart(
    gateway: CartGateway, policy: Policy, suspect: Suspect, request: LookAgain
) -> OperationResult:
    """Looks at a cart, and waits for it; once for each cart and run of the reconciling."""
    operation = RepairCartInput(
        store_id=suspect.store_id,
        user_id=suspect.user_id,
        operation_id=ids.event_operation_id(
            "cart.repair", request.name, suspect.store_id, suspect.user_id
        ),
        attempt_id=new_attempt(),
        fingerprint=fingerprint(ids.REPAIR_CART, {"fix": request.fix}),
        policy=policy,
        reason=request.reason,
        fix=request.fix,
        stuck_before=request.stuck_before,
    )
    return await gateway.carry_out(operation)
