"""Set the quantity of an item."""

from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import ClassVar, Literal, Self

from models.cart import CartContent
from models.cart_facts import CartFacts
from models.events import CartItemUpdated
from models.limits import room_for
from models.money import cents
from models.operations.base import CartChange, ChangeContext, LineOperation, stored
from models.outcomes import Refusal
from models.products import Product


class UpdateQuantity(LineOperation):
    """Set the quantity of a product that is in the cart `cart_id`.

    More units are reserved before the change, fewer are released after it.
    """

    name: ClassVar[str] = "UpdateQuantity"

    kind: Literal["update_quantity"] = "update_quantity"
    quantity: int
    current_price: Decimal | None = None
    """The product service's price of one unit; None where it was not looked up."""

    @property
    def summary(self) -> str:
        return f"Set {self.product_id} to {self.quantity}"

    def check(self, cart: CartFacts) -> Refusal | None:
        """The cart must have the product, and room for additional units of it."""
        refusal = super().check(cart)
        if refusal is None and self.quantity > cart.line_quantity:
            price = cart.line_price if self.current_price is None else self.current_price
            return room_for(self.policy, cart, units=self.quantity, price=price)
        return refusal

    @property
    def repriced_products(self) -> tuple[str, ...]:
        return (self.product_id,)

    def with_products(self, known: Mapping[str, Product]) -> Self:
        product = known.get(self.product_id)
        if product is None:
            return self
        return self.model_copy(update={"current_price": product.price})

    def units_to_hold(self, cart: CartFacts) -> Mapping[str, int]:
        return {self.product_id: self.quantity}

    def is_current(self, expected: CartFacts, stored: CartFacts) -> bool:
        """What was reserved is the difference to the line as it was, and to no other."""
        line = (expected.cart_id, expected.line_quantity, expected.line_unheld)
        return line == (stored.cart_id, stored.line_quantity, stored.line_unheld)

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = stored(cart)
        line = before.line(self.product_id)
        if line is None:
            return None
        held = self.quantity if self.policy.reserve else min(self.quantity, line.held)
        price = line.product_price if self.current_price is None else cents(self.current_price)
        if (line.product_quantity, line.held, line.product_price) == (self.quantity, held, price):
            return None
        changed = line.with_quantity(self.quantity, held, context.now)
        if self.current_price is not None:
            changed = changed.priced(price)
        after = before.with_line(changed, context.now, self.policy.lifetime)
        event = context.event(
            CartItemUpdated,
            after,
            product_id=self.product_id,
            quantity=self.quantity,
            previous_quantity=line.product_quantity,
            product_price=changed.product_price,
            price_source=changed.price_source,
            total_price=after.total_price,
        )
        freed = {self.product_id: line.held - held}
        releases = context.releases(freed, "quantity_reduced")
        return context.changed(after, HTTPStatus.OK, (*releases, *event))
