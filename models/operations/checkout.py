"""Check a cart out: freeze it, with all its units held, until it is ordered."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any, ClassVar, Literal, Self

from models.cart import CartContent, cart_fields
from models.cart_facts import CartFacts
from models.checkout import CartCheckout
from models.events import CartCheckedOut, CheckedOutItem
from models.limits import Policy
from models.money import cents
from models.operations.base import CartChange, CartOperation, ChangeContext, require_cart, stored
from models.outcomes import Refusal, RefusalCode
from models.products import Product
from models.wire import to_json, to_milliseconds


class Checkout(CartOperation):
    """Check out the user's cart. Its units are held, and nobody changes it until the checkout ends.

    The operation's id is that of the checkout.
    """

    name: ClassVar[str] = "Checkout"
    needs_lines: ClassVar[bool] = True

    kind: Literal["checkout"] = "checkout"
    looked_up: tuple[str, ...] = ()
    """The products whose prices the product service is asked for."""
    prices: dict[str, Decimal] = {}
    """What it has said of them."""

    @property
    def summary(self) -> str:
        return "Check the cart out"

    @property
    def priced_products(self) -> tuple[str, ...]:
        return self.looked_up

    def under(self, policy: Policy) -> Self:
        return super().under(policy.at_checkout)

    def with_products(self, known: Mapping[str, Product]) -> Self:
        prices = {product_id: cents(product.price) for product_id, product in known.items()}
        return self.model_copy(update={"prices": prices})

    def check(self, cart: CartFacts) -> Refusal | None:
        """There must be something in the cart."""
        if refusal := super().check(cart) or require_cart(cart, None):
            return refusal
        return None if cart.lines else Refusal(code=RefusalCode.CART_EMPTY)

    def units_to_hold(self, cart: CartFacts) -> Mapping[str, int]:
        return {line.product_id: line.quantity for line in cart.content}

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange:
        now, lifetime = context.now, self.policy.lifetime
        end = to_milliseconds(now + timedelta(seconds=self.policy.checkout_seconds))
        checkout = CartCheckout(
            checkout_id=self.operation_id,
            expires_at=end,
            keeps_holds=not self.policy.reserve_at_checkout,
        )
        before = stored(cart).repriced(self.prices)
        after = before.frozen(checkout, now, lifetime, is_held=self.policy.reserve)
        event = context.event(
            CartCheckedOut,
            after,
            checkout_id=checkout.checkout_id,
            expires_at=end,
            total_price=after.total_price,
            items=[
                CheckedOutItem(
                    product_id=line.product_id,
                    quantity=line.product_quantity,
                    product_price=line.product_price,
                    price_source=line.price_source,
                )
                for line in after.cart_items
            ],
        )
        body = to_json(checkout_fields(context.cart_id, after))
        return CartChange(after, after.version, HTTPStatus.CREATED, body, event, frozen=after.units)


def checkout_fields(cart_id: object, cart: CartContent) -> dict[str, Any]:
    """The checkout of a frozen cart as clients see it (`api.schemas.CheckedOutCart`)."""
    fields = cart_fields(cart_id, cart)
    shown = ("cartItems", "quantity", "totalPrice", "currency", "version")
    checkout = fields["checkout"]
    return {
        "checkoutId": checkout["checkoutId"],
        **{name: fields[name] for name in shown},
        "expiresAt": checkout["expiresAt"],
    }
