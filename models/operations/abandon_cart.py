"""Publish that a cart is abandoned."""

from datetime import datetime
from typing import ClassVar, Literal

from models.cart import CartContent
from models.events import AbandonedItem, CartAbandoned
from models.operations.base import CartChange, ChangeContext, OperationOnCart, stored


class AbandonCart(OperationOnCart):
    """Publish that the cart `cart_id` is abandoned since `at`, if it was due by then.

    Only if nothing has changed it since `updated_at`. It keeps its version, because clients see no
    change. A schedule does it for many carts at once, without runs of their own
    (`adapters.mongo.batches`).
    """

    name: ClassVar[str] = "AbandonCart"

    kind: Literal["abandon_cart"] = "abandon_cart"
    at: datetime
    updated_at: datetime

    @property
    def summary(self) -> str:
        return "Publish that the cart is abandoned"

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = stored(cart)
        is_due = before.abandon_at is not None and before.abandon_at <= self.at
        if not is_due or before.updated_at != self.updated_at:
            return None
        event = context.event(
            CartAbandoned,
            before,
            timestamp=self.at,
            updated_at=before.updated_at,
            total_price=before.total_price,
            items=[
                AbandonedItem(product_id=product, quantity=units)
                for product, units in before.units.items()
            ],
        )
        after = before.model_copy(update={"abandon_at": None, "abandoned_at": self.at})
        return context.confirmed(after, None, "Cart abandoned", event)
