"""Mark lines as out of stock, or as available again."""

from http import HTTPStatus
from typing import ClassVar, Literal

from models.cart import CartContent
from models.cart_facts import CartFacts
from models.cart_line import ProductAvailability
from models.operations.base import CartChange, CartOperation, ChangeContext, require_cart, stored
from models.outcomes import Refusal


class MarkAvailability(CartOperation):
    """Mark lines of the cart `cart_id`, each if the news of its product is newer than the line.

    It publishes no event: the cart shows it when it is read.
    """

    name: ClassVar[str] = "MarkAvailability"

    kind: Literal["mark_availability"] = "mark_availability"
    cart_id: str
    news: tuple[ProductAvailability, ...]
    event_id: str | None = None

    @property
    def summary(self) -> str:
        return f"Mark {', '.join(self.products)}"[:200]

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(news.product_id for news in self.news)

    @property
    def references(self) -> dict[str, str | None]:
        return {"cart": self.cart_id, "event": self.event_id}

    @property
    def changes_frozen_carts(self) -> bool:
        """Marks are for display: what was checked out stays."""
        return True

    def check(self, cart: CartFacts) -> Refusal | None:
        return super().check(cart) or require_cart(cart, self.cart_id)

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        after = stored(cart).marked(self.news, context.now)
        return None if after is None else context.changed(after, HTTPStatus.OK)
