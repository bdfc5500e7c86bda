"""How large a cart may grow."""

from dataclasses import dataclass
from decimal import Decimal

from models.messages import Policy, Refusal

MAX_QUANTITY = 100
"""Most units of one product in one cart; `CART_MAX_QUANTITY` may allow fewer."""


@dataclass(frozen=True, slots=True)
class CartSize:
    """A cart as far as its limits go: its lines, units and worth, and of these the product's."""

    lines: int = 0
    units: int = 0
    worth: Decimal = Decimal(0)
    line_units: int = 0
    line_worth: Decimal = Decimal(0)


def room_for(policy: Policy, size: CartSize, *, units: int, price: Decimal) -> Refusal | None:
    """Why the product cannot have so many units, at this price, in a cart of this size.

    Asked only for what makes a cart grow: who is over a limit may always have less.
    """
    if units > policy.max_quantity:
        return Refusal(code="quantity_limit", current=size.line_units, limit=policy.max_quantity)
    if size.line_units == 0 and size.lines >= policy.max_lines:
        return Refusal(code="line_limit", current=size.lines, limit=policy.max_lines)
    if policy.max_units and size.units - size.line_units + units > policy.max_units:
        return Refusal(code="unit_limit", current=size.units, limit=policy.max_units)
    if policy.max_value and size.worth - size.line_worth + price * units > policy.max_value:
        return Refusal(code="value_limit", limit=policy.max_value)
    return None
