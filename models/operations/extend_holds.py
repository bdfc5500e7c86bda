"""Extend the holds of a cart."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar, Literal

from models.cart import CartContent
from models.cart_facts import CartFacts
from models.operations.base import CartChange, ChangeContext, OperationOnCart, stored


class ExtendHolds(OperationOnCart):
    """Hold all units of the cart `cart_id` from now on, those as well whose hold has ended.

    It publishes no event: the lines stay as they are.
    """

    name: ClassVar[str] = "ExtendHolds"
    needs_lines: ClassVar[bool] = True

    kind: Literal["extend_holds"] = "extend_holds"

    @property
    def summary(self) -> str:
        return "Extend the holds"

    def units_to_hold(self, cart: CartFacts) -> Mapping[str, int]:
        return {line.product_id: line.quantity for line in cart.content}

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = stored(cart)
        if not self.policy.reserve:
            return None
        after = before.with_all_held(context.now, self.policy.lifetime)
        if (after.holds_end, after.held_units) == (before.holds_end, before.held_units):
            return None
        return context.changed(after, HTTPStatus.OK)
