"""How large a cart may grow."""

from models.messages import AddItemInput, Refusal

MAX_QUANTITY = 100
"""Most units of one product in one cart."""


def room_for(request: AddItemInput, *, units: int, lines: int) -> Refusal | None:
    """Why the request does not fit a cart with so many lines, and so many units of its product."""
    if units + request.quantity > MAX_QUANTITY:
        return Refusal(code="quantity_limit", current=units, limit=MAX_QUANTITY)
    if units == 0 and lines >= request.policy.max_lines:
        return Refusal(code="line_limit", current=lines, limit=request.policy.max_lines)
    return None
