"""Set the quantity of an item."""

from http import HTTPStatus
from typing import ClassVar, Literal

from models.cart import CartContent, CartFacts
from models.events import CartItemUpdated
from models.limits import room_for
from models.operations.base import CartChange, ChangeContext, LineOperation, stored
from models.outcomes import Refusal


class UpdateQuantity(LineOperation):
    """Set the quantity of a product that is in the cart `cart_id`.

    More units are reserved before the change, fewer are released after it.
    """

    name: ClassVar[str] = "UpdateQuantity"

    kind: Literal["update_quantity"] = "update_quantity"
    quantity: int

    @property
    def summary(self) -> str:
        return f"Set {self.product_id} to {self.quantity}"

    def check(self, cart: CartFacts) -> Refusal | None:
        """The cart must have the product, and room for additional units of it."""
        refusal = super().check(cart)
        if refusal is None and self.quantity > cart.line_quantity:
            return room_for(self.policy, cart, units=self.quantity, price=cart.line_price)
        return refusal

    def units_to_reserve(self, cart: CartFacts) -> int:
        return max(self.quantity - cart.line_quantity, 0)

    def is_current(self, expected: CartFacts, stored: CartFacts) -> bool:
        """What was reserved is the difference to the line's quantity, and to no other."""
        line = (expected.cart_id, expected.line_quantity)
        return line == (stored.cart_id, stored.line_quantity)

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = stored(cart)
        line = before.line(self.product_id)
        if line is None or line.product_quantity == self.quantity:
            return None
        after = before.with_line(
            line.with_quantity(self.quantity, context.now), context.now, self.policy.expiry_days
        )
        event = context.event(
            CartItemUpdated,
            after,
            product_id=self.product_id,
            quantity=self.quantity,
            previous_quantity=line.product_quantity,
            product_price=line.product_price,
            price_source=line.price_source,
            total_price=after.total_price,
        )
        freed = line.product_quantity - self.quantity
        units = {self.product_id: freed} if freed > 0 else {}
        releases = context.releases(units, "quantity_reduced")
        return context.changed(after, HTTPStatus.OK, (*releases, *event))
