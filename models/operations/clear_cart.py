"""Clear a cart: by its user, or because it has expired."""

from datetime import datetime
from typing import ClassVar, Literal

from models.cart import CartContent
from models.cart_facts import CartFacts
from models.effects import EventEffect
from models.events import CartCleared, ClearedItem, ClearReason
from models.operations.base import CartChange, CartOperation, ChangeContext, require_cart, stored
from models.outcomes import Refusal


class ClearCart(CartOperation):
    """Delete the cart, and release its units. `cart_id` None means whichever cart it is.

    With `expired_by` only a cart that expires then or earlier.
    """

    name: ClassVar[str] = "ClearCart"

    kind: Literal["clear_cart"] = "clear_cart"
    cart_id: str | None = None
    reason: ClearReason
    expired_by: datetime | None = None

    @property
    def summary(self) -> str:
        return f"Clear the cart ({self.reason})"

    @property
    def references(self) -> dict[str, str | None]:
        return {"cart": self.cart_id}

    @property
    def changes_frozen_carts(self) -> bool:
        """An erasure waits for no checkout."""
        return self.reason == "privacy_erasure"

    def check(self, cart: CartFacts) -> Refusal | None:
        return super().check(cart) or require_cart(cart, self.cart_id)

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = stored(cart)
        if self.expired_by is not None and before.expire_at > self.expired_by:
            return None
        return context.confirmed(
            None,
            before.version + 1,
            "Cart cleared",
            (
                *context.releases(before.held_units, self.reason),
                *cart_cleared(before, context, self.reason),
            ),
            reason=self.reason,
        )


def cart_cleared(
    cart: CartContent, context: ChangeContext, reason: ClearReason, order_id: str | None = None
) -> tuple[EventEffect, ...]:
    """The event of a cart that is deleted."""
    return context.event(
        CartCleared,
        cart,
        version=cart.version + 1,
        reason=reason,
        order_id=order_id,
        items=[
            ClearedItem(product_id=product, quantity=units) for product, units in cart.units.items()
        ],
    )
