"""End the checkout of a cart without an order: its user cancels it, or its time is over."""

from datetime import datetime
from http import HTTPStatus
from typing import ClassVar, Literal

from models.cart import CartContent
from models.cart_facts import CartFacts
from models.effects import AnyEffect, EventEffect
from models.events import CartCheckoutExpired, CheckoutEnd
from models.operations.base import CartChange, CartOperation, ChangeContext, require_cart, stored
from models.outcomes import Refusal, RefusalCode

CHECKOUT_ENDED = "checkout_ended"
"""The reason of a release of units that were held for a checkout alone."""


class CancelCheckout(CartOperation):
    """Thaw the user's cart, which keeps its lines and holds.

    With `expired_by` only a checkout of the cart `cart_id` that ends then or earlier; a schedule
    does it for many carts at once, without runs of their own (`adapters.mongo.batches`).
    """

    name: ClassVar[str] = "CancelCheckout"

    kind: Literal["cancel_checkout"] = "cancel_checkout"
    cart_id: str | None = None
    reason: CheckoutEnd
    expired_by: datetime | None = None

    @property
    def summary(self) -> str:
        return f"End the checkout ({self.reason})"

    @property
    def references(self) -> dict[str, str | None]:
        return {"cart": self.cart_id}

    @property
    def changes_frozen_carts(self) -> bool:
        return True

    def check(self, cart: CartFacts) -> Refusal | None:
        """The cart must be checked out."""
        if refusal := super().check(cart) or require_cart(cart, self.cart_id):
            return refusal
        return None if cart.checkout_id else Refusal(code=RefusalCode.CHECKOUT_NOT_FOUND)

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = stored(cart)
        if before.checkout is None:
            return None
        if self.expired_by is not None and before.checkout.expires_at > self.expired_by:
            return None
        after = before.thawed(context.now, self.policy.lifetime)
        event = checkout_ended(before, after, context, self.reason)
        releases = context.releases(before.held_by_checkout, CHECKOUT_ENDED)
        effects: tuple[AnyEffect, ...] = (*releases, *event)
        if self.expired_by is not None:  # nobody waits for the cart
            return context.confirmed(after, after.version, "Checkout ended", effects)
        return context.changed(after, HTTPStatus.OK, effects)


def checkout_ended(
    before: CartContent,
    after: CartContent,
    context: ChangeContext,
    reason: CheckoutEnd,
    order_id: str | None = None,
) -> tuple[EventEffect, ...]:
    """The event of a checkout that has ended without an order; () if there was none."""
    if before.checkout is None:
        return ()
    checkout_id = before.checkout.checkout_id
    return context.event(
        CartCheckoutExpired, after, checkout_id=checkout_id, reason=reason, order_id=order_id
    )
