"""Remove an item."""

from typing import ClassVar, Literal

from models.cart import CartContent, cart_fields
from models.events import CartItemRemoved
from models.operations.base import CartChange, ChangeContext, LineOperation, stored

REMOVED = "Item removed from cart"


class RemoveItem(LineOperation):
    """Remove a product from the cart `cart_id`, and release its units."""

    name: ClassVar[str] = "RemoveItem"

    kind: Literal["remove_item"] = "remove_item"

    @property
    def summary(self) -> str:
        return f"Remove {self.product_id}"

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange:
        before = stored(cart)
        units = {self.product_id: before.units[self.product_id]}
        held = {self.product_id: before.held_units.get(self.product_id, 0)}
        after = before.without_units(units, context.now, self.policy.lifetime)
        event = context.event(
            CartItemRemoved,
            after,
            product_id=self.product_id,
            quantity=units[self.product_id],
            total_price=after.total_price,
        )
        return context.confirmed(
            after,
            after.version,
            REMOVED,
            (*context.releases(held, "item_removed"), *event),
            cart=cart_fields(context.cart_id, after),
        )
