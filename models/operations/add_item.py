"""Add an item."""

from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import ClassVar, Literal, Self

from models.cart import CartContent
from models.cart_facts import CartFacts
from models.cart_line import CartLine, price_change
from models.events import CartItemAdded
from models.limits import room_for, room_in_bytes, same_currency
from models.money import PriceSource, cents
from models.operations.base import CartChange, CartOperation, ChangeContext
from models.outcomes import Refusal
from models.products import Product


class AddItem(CartOperation):
    """Add `quantity` units of a product to the cart, which is created when there is none.

    Units of a product that is in the cart already add up; the line takes title, image, description,
    price and seller of the latest request.
    """

    name: ClassVar[str] = "AddItem"

    kind: Literal["add_item"] = "add_item"
    product_id: str
    product_title: str
    product_images: tuple[str, ...] = ()
    product_price: Decimal
    price_source: PriceSource = "client"
    product_description: str | None = None
    seller_id: str | None = None
    quantity: int
    shopper: str | None = None
    """The request's `Shopper`, sealed: workflow inputs have no personal data in clear text."""

    @property
    def summary(self) -> str:
        return f"Add {self.quantity} x {self.product_id}"

    @property
    def subject(self) -> str:
        return self.product_id

    @property
    def priced_products(self) -> tuple[str, ...]:
        return (self.product_id,)

    def with_products(self, known: Mapping[str, Product]) -> Self:
        """The operation with the product's title, images and price in place of the request's."""
        product = known[self.product_id]
        return self.model_copy(
            update={
                "product_title": product.title,
                "product_images": product.images,
                "product_price": product.price,
                "price_source": "product_service",
            }
        )

    @property
    def sealed_shopper(self) -> str | None:
        return self.shopper

    def check(self, cart: CartFacts) -> Refusal | None:
        """The cart's currency stays, and the line and the cart stay within their limits."""
        units = cart.line_quantity + self.quantity
        return (
            super().check(cart)
            or same_currency(self.policy, cart)
            or room_for(self.policy, cart, units=units, price=self.product_price)
        )

    def check_change(self, change: CartChange) -> Refusal | None:
        """Only an add makes a cart grow; the answer to it is the cart."""
        return room_in_bytes(self.policy, len(change.body))

    def units_to_hold(self, cart: CartFacts) -> Mapping[str, int]:
        return {self.product_id: cart.line_quantity + self.quantity}

    def is_current(self, expected: CartFacts, stored: CartFacts) -> bool:
        """It fits any cart, as long as the units of the line that are not held were reserved."""
        return not self.policy.reserve or expected.line_unheld == stored.line_unheld

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange:
        now = context.now
        before = cart or CartContent.empty(self.key, self.policy.currency, now)
        earlier = before.line(self.product_id)
        held = earlier.held if earlier else 0
        price = cents(self.product_price)
        looked_up = self.price_source == "product_service"
        line = CartLine(
            product_id=self.product_id,
            product_title=self.product_title,
            product_image=list(self.product_images),
            product_price=price,
            price_source=self.price_source,
            price_changed=price_change(earlier, price) if looked_up else None,
            product_quantity=self.quantity + (earlier.product_quantity if earlier else 0),
            units_held=None if self.policy.reserve else held,
            product_description=self.product_description,
            seller_id=self.seller_id,
            reserved_at=now,
        )
        known = context.shopper.model_dump(exclude_none=True) if context.shopper else {}
        # An empty cart takes the currency; in another it is the same (`check`).
        known["currency"] = self.policy.currency
        after = before.with_line(line, now, self.policy.lifetime, **known)
        event = context.event(
            CartItemAdded,
            after,
            product_id=self.product_id,
            quantity=self.quantity,
            line_quantity=line.product_quantity,
            product_price=line.product_price,
            price_source=line.price_source,
            total_price=after.total_price,
        )
        return context.changed(after, HTTPStatus.CREATED, event)
