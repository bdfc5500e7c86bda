"""Completed orders: what an order asks for, and which of its units are still in the cart.

Plain data and pure functions; `models.operations.apply_order` applies an order.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from models.message import Message

Units = Mapping[str, int]
"""Product -> units."""


class OrderedLine(Message):
    """A product of an order; `quantity` None means all its units in the cart."""

    product_id: str
    quantity: int | None = None


class OrderRequest(Message):
    """An order, as its event describes it.

    `cancellation` is the id of the operation that cancels it, `checkout_id` names the checkout
    whose units were ordered. Without one, `items` None means the whole cart, and `cart_version`
    None the cart as it is. With `leave_cart` nothing is taken out of the cart: the items are what
    an earlier try could not book.
    """

    order_id: str
    cart_id: str
    cancellation: str | None = None
    checkout_id: str | None = None
    items: tuple[OrderedLine, ...] | None = None
    cart_version: int | None = None
    leave_cart: bool = False


class CancelRequest(Message):
    """The cancellation of an order, as its event describes it; `checkout_id` None means whichever
    checkout the cart has."""

    order_id: str
    cart_id: str
    checkout_id: str | None = None


class Cancellation(Message):
    """What is known of a cancelled order: the units that were booked for it, by product.

    `is_booking` means that some of them are still to be booked.
    `ends_checkout` means that the cart is checked out for it, and `is_foreign` that the cart is
    another user's.
    """

    booked: dict[str, int] = {}
    is_booking: bool = False
    ends_checkout: bool = False
    is_foreign: bool = False


class OrderedUnits(Message):
    """The units of a product that were ordered.

    `in_cart` are those that are taken out of the cart, `unheld` of them were not held. These and
    those that are not in the cart are `missing`: `reserved` of them could be reserved again (by the
    saga id `reservation`), the rest is `short`.
    """

    product_id: str
    ordered: int
    in_cart: int = 0
    unheld: int = 0
    reserved: int = 0
    reservation: str | None = None

    @property
    def held(self) -> int:
        return self.in_cart - self.unheld

    @property
    def missing(self) -> int:
        return self.ordered - self.held

    @property
    def booked(self) -> int:
        return self.held + self.reserved

    @property
    def short(self) -> int:
        return self.ordered - self.booked


class Ordered(Message):
    """What an order has, by product, and the cart's latest known version (0: none is known).

    `releasing` are the products of which the cart's own operations still have units to release.
    `refused` is why the order is not applied, if it is not.
    """

    units: tuple[OrderedUnits, ...] = ()
    cart_version: int = 0
    releasing: tuple[str, ...] = ()
    refused: Literal["checkout_not_found", "order_cancelled"] | None = None

    @property
    def reservations(self) -> frozenset[str]:
        """The saga ids of the reservations that were made for it."""
        return frozenset(one.reservation for one in self.units if one.reservation)

    def without_stock(self) -> Self:
        """The order of a shop whose units are not counted: nothing of it can be short."""
        units = (one.model_copy(update={"reserved": one.missing}) for one in self.units)
        return self.model_copy(update={"units": tuple(units)})


def ordered_units(
    order: OrderRequest, now: Units, held: Units, moves: Iterable[Units], gone: Units
) -> tuple[OrderedUnits, ...]:
    """What an order has of each product, and how much of it is still in the cart.

    `now` is the cart, of which `held` is held; an order takes held units first. `moves` are its
    changes since the ordered version, in their order, without what other orders took; () if the
    order names no version. `gone` are the units that left the cart last, which stand for an order
    that does not say how many it has.
    """
    changes = list(moves)
    names = {*now, *(name for move in changes for name in move)}
    since = {name: [move.get(name, 0) for move in changes] for name in names}
    was = {name: now.get(name, 0) - sum(since[name]) for name in sorted(names)}
    if order.items is None:
        asked: dict[str, int | None] = {name: None for name, units in was.items() if units > 0}
        asked = asked or dict.fromkeys(gone)
    else:
        asked = {item.product_id: item.quantity for item in order.items}
    found = []
    for product_id, quantity in asked.items():
        ordered = quantity or max(was.get(product_id, 0), 0) or gone.get(product_id, 0) or 1
        left = 0 if order.leave_cart else _left(now.get(product_id, 0), since.get(product_id, []))
        in_cart = min(ordered, left)
        found.append(
            OrderedUnits(
                product_id=product_id,
                ordered=ordered,
                in_cart=in_cart,
                unheld=max(in_cart - held.get(product_id, 0), 0),
            )
        )
    return tuple(found)


def _left(now: int, moves: list[int]) -> int:
    """The units in the cart `now` that were in it before `moves`.

    Removed units count as the ones added last.
    """
    ordered, later = now - sum(moves), 0
    for moved in moves:
        later += moved
        if later < 0:
            ordered, later = ordered + later, 0
    return max(0, min(ordered, now))
