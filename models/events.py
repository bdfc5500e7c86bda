"""Published events, and their Kafka messages.

Value: the JSON of the models below. Key: the cart's id, which keeps the events of a cart in order.
Headers: CloudEvents 1.0 in binary mode. Delivery is at least once; `eventId` is the same on every
delivery of an event. No event contains an email address.
"""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeAliasType

from models.effects import EventEffect
from models.money import Money, PriceSource
from models.wire import SENT, timestamp, to_json

CART_ITEM_ADDED = "cart.item.added"
CART_ITEM_UPDATED = "cart.item.updated"
CART_ITEM_REMOVED = "cart.item.removed"
CART_CLEARED = "cart.cleared"
CART_ORDER_APPLIED = "cart.order.applied"
CART_HOLD_EXPIRED = "cart.hold.expired"
CART_CHECKED_OUT = "cart.checked_out"
CART_CHECKOUT_EXPIRED = "cart.checkout.expired"
CART_ABANDONED = "cart.abandoned"
CART_RECOVERED = "cart.recovered"
CART_MERGED = "cart.merged"
ORDER_COMPLETED = "order.completed"
ORDER_CANCELLED = "order.cancelled"
CART_ITEM_OUT_OF_STOCK = "cart.item.out_of_stock"
INVENTORY_BACK_IN_STOCK = "inventory.item.back_in_stock"
DEAD_LETTERS = "cart.dlq"

PUBLISHED = (
    CART_ITEM_ADDED,
    CART_ITEM_UPDATED,
    CART_ITEM_REMOVED,
    CART_CLEARED,
    CART_ORDER_APPLIED,
    CART_HOLD_EXPIRED,
    CART_CHECKED_OUT,
    CART_CHECKOUT_EXPIRED,
    CART_ABANDONED,
    CART_RECOVERED,
    CART_MERGED,
)
TOPICS = (
    *PUBLISHED,
    ORDER_COMPLETED,
    ORDER_CANCELLED,
    CART_ITEM_OUT_OF_STOCK,
    INVENTORY_BACK_IN_STOCK,
    DEAD_LETTERS,
)


ClearReason = TypeAliasType(
    "ClearReason", Literal["user", "order_completed", "expired", "privacy_erasure"]
)
"""Why a whole cart is deleted."""

ChangeReason = TypeAliasType("ChangeReason", Literal["user", "order_completed", "cart_merged"])
"""Why a line is reduced or removed."""

CheckoutEnd = TypeAliasType("CheckoutEnd", Literal["user", "expired", "order_cancelled"])
"""Why a checkout ends without an order."""
MergeStrategy = TypeAliasType("MergeStrategy", Literal["sum", "max", "keep", "replace"])
"""How a guest's cart is merged into a user's."""

ActorKind = TypeAliasType(
    "ActorKind", Literal["user", "guest", "admin", "operator", "event", "schedule", "repair"]
)
"""Who causes a change (`models.actor.ActorType`)."""


class EventModel(BaseModel):
    """Base of all events: camelCase names; the docstring of a field is its description."""

    model_config = ConfigDict(**SENT, frozen=True)


class CartEvent(EventModel):
    """The fields that all published events have."""

    topic: ClassVar[str]

    event_id: str
    """A UUID, the same on every delivery of this event."""
    cart_id: str
    """The cart's id, and the message's key."""
    user_id: str
    """The cart's user."""
    store_id: str
    """The cart's store."""
    saga_id: str
    """`cart-{epoch ms}-{userId}-{productId}`, with the user percent-encoded. Whole-cart operations
    end in the operation's name."""
    version: int
    """The cart's version after this change (0: not known). Each change increments it by one."""
    actor_type: ActorKind
    """Who caused the change: the cart's `user` or `guest`, an `admin` of the store, an `operator`,
    an `event` of another service, a `schedule` or a `repair`. No event has the id of an admin or
    operator."""
    currency: str
    """The currency of all amounts (ISO 4217)."""
    timestamp: datetime
    """When the change was requested, in UTC with milliseconds."""


class CartItemAdded(CartEvent):
    """An item was added to a cart, or its quantity was increased by adding."""

    topic = CART_ITEM_ADDED

    product_id: str
    """The product that was added."""
    quantity: int
    """The number of units that were added."""
    line_quantity: int
    """The units of the product in the cart after the change."""
    product_price: Money
    """The price of one unit."""
    price_source: PriceSource
    """`client`: the price is what the client sent with the add; nothing has checked it.
    `product_service`: it is the product service's."""
    total_price: Money
    """The cart's total price."""


class CartItemUpdated(CartEvent):
    """The quantity of an item was changed by its user or reduced by an order."""

    topic = CART_ITEM_UPDATED

    product_id: str
    """The product whose quantity was changed."""
    quantity: int
    """The units of the product in the cart after the change."""
    previous_quantity: int
    """The units of the product in the cart before the change."""
    product_price: Money
    """The price of one unit."""
    price_source: PriceSource
    """`client`: the price is what the client sent with the add; nothing has checked it.
    `product_service`: it is the product service's."""
    total_price: Money
    """The cart's total price."""
    reason: ChangeReason = "user"
    """`user`, `order_completed` if an order took the units, or `cart_merged`."""
    order_id: str | None = None
    """The order's id, for `order_completed`."""


class CartItemRemoved(CartEvent):
    """An item was removed from a cart."""

    topic = CART_ITEM_REMOVED

    product_id: str
    """The product that was removed."""
    quantity: int
    """The units of the product that were in the cart."""
    total_price: Money
    """The cart's total price."""
    reason: ChangeReason = "user"
    """`user`, `order_completed` if an order took the units, or `cart_merged`."""
    order_id: str | None = None
    """The order's id, for `order_completed`."""


class ClearedItem(EventModel):
    """A line of a cart that was cleared."""

    product_id: str
    """The product."""
    quantity: int
    """The units of the product that were in the cart."""


class CartCleared(CartEvent):
    """A cart was deleted."""

    topic = CART_CLEARED

    reason: ClearReason
    """`user`: its user cleared it. `order_completed`: it was ordered. `expired`: it was unused.
    `privacy_erasure`: its user's data was erased."""
    order_id: str | None
    """The order's id, for `order_completed`."""
    items: list[ClearedItem]
    """The lines that were in the cart."""


class CartMerged(CartEvent):
    """A guest's cart was merged into a user's, and is deleted.

    The units that moved are in the events of the other cart.
    """

    topic = CART_MERGED

    merged_into: str
    """The id of the cart into which it was merged."""
    strategy: MergeStrategy
    """`sum`: quantities were added. `max`: the larger of both was taken. `keep`: only products that
    the other cart did not have. `replace`: its lines replaced those of the other cart."""
    items: list[ClearedItem]
    """The lines that were in the guest's cart."""
    not_merged: list[ClearedItem]
    """The units that the other cart did not get, because of a limit or too few units."""


class AppliedItem(EventModel):
    """A product of an order that was applied."""

    product_id: str
    """The product."""
    ordered: int
    """The units that were ordered."""
    booked: int
    """The units that are booked as sold."""
    short: int
    """The units that were no longer reserved, and could not be reserved again."""


class CartOrderApplied(CartEvent):
    """An order was applied: its units left the cart, and are booked as sold in the inventory.

    An order with units that are `short` is also parked in `cart.dlq`. When it is replayed, a second
    event reports the units that were short.
    """

    topic = CART_ORDER_APPLIED

    order_id: str
    """The order's id."""
    items: list[AppliedItem]
    """The products of the order."""


class ExpiredHold(EventModel):
    """A product whose units are no longer held for a cart."""

    product_id: str
    """The product."""
    quantity: int
    """The units that were held, and are available to others now."""


class CartHoldExpired(CartEvent):
    """The units of a cart are no longer held (`HOLD_MINUTES`). They stay in the cart.

    The next change of a line, an extension or the checkout reserves them again, if they are there.
    """

    topic = CART_HOLD_EXPIRED

    items: list[ExpiredHold]
    """The lines whose units were held."""


class CheckedOutItem(EventModel):
    """A line of a cart that is checked out."""

    product_id: str
    """The product."""
    quantity: int
    """The units, which are held."""
    product_price: Money
    """The price of one unit."""
    price_source: PriceSource
    """`client`: the price is what the client sent with the latest add; nothing has checked it."""


class CartCheckedOut(CartEvent):
    """A cart was checked out. It does not change until it is ordered or the checkout ends."""

    topic = CART_CHECKED_OUT

    checkout_id: str
    """Identifies the checkout. `order.completed` and `order.cancelled` name it."""
    expires_at: datetime
    """When the checkout ends by itself."""
    total_price: Money
    """The cart's total price."""
    items: list[CheckedOutItem]
    """The lines."""


class CartCheckoutExpired(CartEvent):
    """A checkout has ended without an order. The cart can be changed again."""

    topic = CART_CHECKOUT_EXPIRED

    checkout_id: str
    """Identifies the checkout."""
    reason: CheckoutEnd
    """`expired`: its time was over. `user`: its user cancelled it. `order_cancelled`: the order
    was cancelled."""
    order_id: str | None
    """The order's id, for `order_cancelled`."""


class AbandonedItem(EventModel):
    """A line of an abandoned cart."""

    product_id: str
    """The product."""
    quantity: int
    """The units of the product in the cart."""


class CartAbandoned(CartEvent):
    """A cart with items has not been changed by its user for `ABANDONED_AFTER_MINUTES`.

    Published once, until the user changes the cart again. It changes nothing: `version` is that of
    the cart's latest change, whose events come before this one.
    """

    topic = CART_ABANDONED

    updated_at: datetime
    """When the cart was changed last."""
    items: list[AbandonedItem]
    """The lines of the cart."""
    total_price: Money
    """The cart's total price."""


class CartRecovered(CartEvent):
    """The user of an abandoned cart has changed it again.

    `version` is that of the change, whose other events come before this one.
    """

    topic = CART_RECOVERED

    abandoned_at: datetime
    """Since when it was abandoned: the `timestamp` of its `cart.abandoned`."""
    total_price: Money
    """The cart's total price after the change."""


def event_id(record_id: str, position: int) -> str:
    """The id of a saga's n-th event: the same in every try of the saga."""
    return str(uuid5(NAMESPACE_URL, f"{record_id}/event/{position}"))


def event_effect(topic: str, event: CartEvent, traceparent: str | None = None) -> EventEffect:
    """The event, framed for the outbox; `traceparent` is the span that produced it."""
    return EventEffect(
        id=event.event_id,
        topic=topic,
        key=event.cart_id,
        value=to_json(event).decode(),
        time=event.timestamp,
        traceparent=traceparent,
    )


def cloud_event_headers(effect: EventEffect) -> list[tuple[str, bytes]]:
    """Kafka headers in CloudEvents' binary mode (CloudEvents Kafka protocol binding, 3.2)."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", effect.id.encode()),
        ("ce_type", effect.topic.encode()),
        ("ce_source", b"/cart-service"),
        ("ce_time", timestamp(effect.time).encode()),
        ("content-type", b"application/json"),
    ]
