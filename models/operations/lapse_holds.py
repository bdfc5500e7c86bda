"""Give back the units of a cart whose holds have ended."""

from datetime import datetime
from typing import ClassVar, Literal

from models.cart import CartContent
from models.events import CartHoldExpired, ExpiredHold
from models.operations.base import CartChange, ChangeContext, OperationOnCart, stored

REASON = "hold_expired"


class LapseHolds(OperationOnCart):
    """Release the units of the cart `cart_id` if its holds have ended by `ended_by`.

    Its lines stay. A schedule does it for many carts at once, without runs of their own
    (`adapters.mongo.batches`).
    """

    name: ClassVar[str] = "LapseHolds"

    kind: Literal["lapse_holds"] = "lapse_holds"
    ended_by: datetime

    @property
    def summary(self) -> str:
        return "End the holds"

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = stored(cart)
        if before.holds_end is None or before.holds_end > self.ended_by:
            return None
        after = before.without_holds(context.now)
        held = before.held_units
        event = context.event(
            CartHoldExpired,
            after,
            items=[ExpiredHold(product_id=name, quantity=units) for name, units in held.items()],
        )
        return context.confirmed(
            after, after.version, "Holds ended", (*context.releases(held, REASON), *event)
        )
