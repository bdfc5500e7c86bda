"""Cancel an order: end its checkout, or give back the units that were booked for it."""

from http import HTTPStatus
from typing import ClassVar, Literal

from models.cart import CartContent
from models.cart_facts import CartFacts
from models.effects import EventEffect
from models.operations.base import CartChange, ChangeContext
from models.operations.cancel_checkout import CHECKOUT_ENDED, checkout_ended
from models.operations.order_operation import OrderOperation
from models.orders import Cancellation, CancelRequest
from models.outcomes import Refusal, RefusalCode
from models.wire import to_json

REASON: Literal["order_cancelled"] = "order_cancelled"


class CancelOrder(OrderOperation):
    """Cancel an order of the cart `request.cart_id`, which may be gone.

    Before the order has completed its cart is thawed, and the order is not applied any more: the
    record of this operation says so. Afterwards the inventory takes the `booked` units back.
    """

    name: ClassVar[str] = "CancelOrder"

    kind: Literal["cancel_order"] = "cancel_order"
    request: CancelRequest
    cancellation: Cancellation | None = None
    """What its steps have found."""

    @property
    def summary(self) -> str:
        return f"Cancel order {self.request.order_id}"

    @property
    def cancels(self) -> CancelRequest:
        return self.request

    def check(self, cart: CartFacts) -> Refusal | None:
        """The cart must not be another user's."""
        if refusal := super().check(cart):
            return refusal
        found = cart.cancellation
        if found is not None and found.is_foreign:
            return Refusal(code=RefusalCode.CART_NOT_FOUND)
        return None

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange:
        found = self.cancellation or Cancellation()
        after, version = cart, None
        events: tuple[EventEffect, ...] = ()
        ended: dict[str, int] = {}
        if cart is not None and found.ends_checkout:
            ended = cart.held_by_checkout
            after = cart.thawed(context.now, self.policy.lifetime)
            version = after.version
            events = checkout_ended(cart, after, context, REASON, self.request.order_id)
        return CartChange(
            after,
            version,
            HTTPStatus.OK,
            to_json({"message": "Order cancelled", "orderId": self.request.order_id}),
            (
                *context.releases(found.booked, REASON, self.request.order_id),
                *context.releases(ended, CHECKOUT_ENDED),
                *events,
            ),
        )
