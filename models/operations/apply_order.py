"""Apply a completed order: its units leave the cart, and are booked as sold in the inventory.

What the order has and the cart has no more (it was cleared, reduced or has expired meanwhile) is
reserved again and booked. What cannot be had is short, and is reported.
"""

from http import HTTPStatus
from typing import Any, ClassVar, Literal

from models.cart import CartContent
from models.cart_facts import CartFacts
from models.cart_line import CartLine
from models.effects import EventEffect, ReleaseEffect
from models.events import AppliedItem, CartItemRemoved, CartItemUpdated, CartOrderApplied
from models.operations.base import UNDO, CartChange, ChangeContext
from models.operations.clear_cart import cart_cleared
from models.operations.order_operation import OrderOperation
from models.orders import Ordered, OrderedUnits, OrderRequest
from models.saga import SagaRun
from models.wire import to_json

REASON: Literal["order_completed"] = "order_completed"


class ApplyOrder(OrderOperation):
    """Apply an order of the cart `request.cart_id`, which may be gone.

    `ordered` is what its steps have found: the units of each product, those that are taken out of
    the cart, and those that were reserved again. `undo` are reservations that are not needed.
    """

    name: ClassVar[str] = "ApplyOrder"

    kind: Literal["apply_order"] = "apply_order"
    request: OrderRequest
    ordered: Ordered | None = None
    undo: tuple[ReleaseEffect, ...] = ()

    @property
    def summary(self) -> str:
        return f"Apply order {self.request.order_id}"

    @property
    def order(self) -> OrderRequest:
        return self.request

    def undo_of(self, saga: SagaRun, cart: CartFacts) -> tuple[ReleaseEffect, ...]:
        """The undo of all reservations that the saga can make for this order."""
        if cart.ordered is None:
            return ()
        missing = [one for one in cart.ordered.units if one.missing]
        return tuple(undo for one in missing for undo in undo_of_units(saga, one))

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        found = self.ordered or Ordered()
        taken = {one.product_id: one.in_cart for one in found.units if one.in_cart}
        held = {one.product_id: one.held for one in found.units}
        after, events = self._take(cart, taken, context) if cart and taken else (cart, ())
        version = None if cart is None or not taken else cart.version + 1
        return CartChange(
            after,
            version,
            HTTPStatus.OK,
            to_json({"message": "Order applied", "orderId": self.request.order_id}),
            (
                *context.releases(held, REASON, self.request.order_id),
                *self._bookings(found, context.saga),
                *self.undo,
                *events,
                *self._applied(found, version or found.cart_version, cart, context),
            ),
            REASON if taken else None,
            short={one.product_id: one.short for one in found.units if one.short},
        )

    def _take(
        self, cart: CartContent, units: dict[str, int], context: ChangeContext
    ) -> tuple[CartContent | None, tuple[EventEffect, ...]]:
        """The cart without these units, and the events; a cart that has nothing else is deleted.

        A change of several lines has several events.
        """
        if sum(units.values()) == cart.quantity:
            return None, cart_cleared(cart, context, REASON, self.request.order_id)
        after = cart.without_units(units, context.now, self.policy.lifetime)
        lines = [line for line in cart.cart_items if line.product_id in units]
        return after, tuple(
            event
            for position, line in enumerate(lines)
            for event in self._event(line, units[line.product_id], after, context, position)
        )

    def _bookings(self, found: Ordered, saga: SagaRun) -> tuple[ReleaseEffect, ...]:
        """The units that were reserved again, booked as sold."""
        booked = {"reason": REASON, "order_id": self.request.order_id}
        return tuple(
            undo.model_copy(update=booked | {"quantity": one.reserved})
            for one in found.units
            for undo in undo_of_units(saga, one)
            if undo.saga_id == one.reservation
        )

    def _applied(
        self, found: Ordered, version: int, cart: CartContent | None, context: ChangeContext
    ) -> tuple[EventEffect, ...]:
        return context.event(
            CartOrderApplied,
            cart,
            version=version,
            position=len(found.units),
            currency=self.policy.currency if cart is None else cart.currency,
            order_id=self.request.order_id,
            items=[
                AppliedItem(
                    product_id=one.product_id,
                    ordered=one.ordered,
                    booked=one.booked,
                    short=one.short,
                )
                for one in found.units
            ],
        )

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
            "reason": REASON,
            "order_id": self.request.order_id,
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
            price_source=line.price_source,
            **common,
        )


def undo_of_units(saga: SagaRun, units: OrderedUnits) -> tuple[ReleaseEffect, ReleaseEffect]:
    """The undo of the two reservations of a product that an order can make: of all that is missing,
    and of a part of it.

    They have saga ids of their own: under the order's, the units of the cart are released, and for
    the inventory a saga has one reservation of a product.
    """
    whole = f"{saga.saga_id}-{units.product_id}"
    first, second = (
        ReleaseEffect(
            id=f"{saga.record_id}/release/{reservation}",
            product_id=units.product_id,
            quantity=units.missing,
            saga_id=reservation,
            reason=UNDO,
        )
        for reservation in (whole, f"{whole}-part")
    )
    return first, second
