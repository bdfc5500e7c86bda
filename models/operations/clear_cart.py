"""Clear a cart: by its user, by a completed order, or because it has expired."""

from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar, Literal

from models.cart import CartContent, CartFacts, CartLine
from models.effects import EventEffect
from models.events import CartCleared, CartItemRemoved, CartItemUpdated, ClearedItem, ClearReason
from models.message import Message
from models.operations.base import CartChange, CartOperation, ChangeContext, require_cart, stored
from models.outcomes import Refusal


class OrderedLine(Message):
    """Units of a product that an order took; `quantity` None means the whole line."""

    product_id: str
    quantity: int | None = None


class ClearCart(CartOperation):
    """Delete the cart, and release its units. `cart_id` None means whichever cart it is.

    With `expired_by` only a cart that expires then or earlier. An order may name what it took:
    `items`, or the `cart_version` that was ordered; what came into the cart later stays there.
    """

    name: ClassVar[str] = "ClearCart"

    kind: Literal["clear_cart"] = "clear_cart"
    cart_id: str | None = None
    reason: ClearReason
    order_id: str | None = None
    expired_by: datetime | None = None
    items: tuple[OrderedLine, ...] | None = None
    cart_version: int | None = None

    @property
    def summary(self) -> str:
        return f"Clear the cart ({self.reason})"

    @property
    def references(self) -> dict[str, str | None]:
        return {"cart": self.cart_id, "order": self.order_id}

    def check(self, cart: CartFacts) -> Refusal | None:
        return super().check(cart) or require_cart(cart, self.cart_id)

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = stored(cart)
        if self.expired_by is not None and before.expire_at > self.expired_by:
            return None
        if self.items is not None:
            return self._take(before, self.items, context)
        return self._clear(before, context)

    def _clear(self, cart: CartContent, context: ChangeContext) -> CartChange:
        version = cart.version + 1
        event = context.event(
            CartCleared,
            cart,
            version=version,
            reason=self.reason,
            order_id=self.order_id,
            items=[
                ClearedItem(product_id=product, quantity=units)
                for product, units in cart.units.items()
            ],
        )
        return context.confirmed(
            None,
            version,
            "Cart cleared",
            (*context.releases(cart.units, self.reason, self.order_id), *event),
            {product: -units for product, units in cart.units.items()},
            reason=self.reason,
        )

    def _take(
        self, cart: CartContent, items: tuple[OrderedLine, ...], context: ChangeContext
    ) -> CartChange | None:
        """Removes what an order took, as far as it is there; clears a cart that has nothing else.

        A change of several lines has several events.
        """
        ordered = {item.product_id: item.quantity for item in items}
        taken = [
            (line, min(ordered[line.product_id] or line.product_quantity, line.product_quantity))
            for line in cart.cart_items
            if line.product_id in ordered
        ]
        units = {line.product_id: quantity for line, quantity in taken}
        if not units:
            return None
        if sum(units.values()) == cart.quantity:
            return self._clear(cart, context)
        after = cart.without_units(units, context.now, self.policy.expiry_days)
        events = [
            event
            for position, (line, quantity) in enumerate(taken)
            for event in self._event(line, quantity, after, context, position)
        ]
        releases = context.releases(units, self.reason, self.order_id)
        moved = {product: -quantity for product, quantity in units.items()}
        return context.changed(after, HTTPStatus.OK, (*releases, *events), moved)

    def _event(
        self,
        line: CartLine,
        quantity: int,
        after: CartContent,
        context: ChangeContext,
        position: int,
    ) -> tuple[EventEffect, ...]:
        """The event of a line from which the order took units."""
        common: dict[str, Any] = {
            "product_id": line.product_id,
            "total_price": after.total_price,
            "reason": self.reason,
            "order_id": self.order_id,
        }
        left = line.product_quantity - quantity
        if left == 0:
            return context.event(
                CartItemRemoved, after, position=position, quantity=quantity, **common
            )
        return context.event(
            CartItemUpdated,
            after,
            position=position,
            quantity=left,
            previous_quantity=line.product_quantity,
            product_price=line.product_price,
            **common,
        )
