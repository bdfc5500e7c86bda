"""Events on Kafka: the documented JSON, and how an event is framed.

Value: the JSON of the models below. Key: the cart's id, which keeps a cart's events in order.
Headers: CloudEvents 1.0 in binary mode. Delivery is at least once; `eventId` is the same on every
delivery of one event. No event has an email in it.
"""

from datetime import datetime
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from models.messages import ClearReason, EventEffect
from models.money import Money
from models.wire import timestamp, to_json

CART_ITEM_ADDED = "cart.item.added"
CART_ITEM_UPDATED = "cart.item.updated"
CART_ITEM_REMOVED = "cart.item.removed"
CART_CLEARED = "cart.cleared"
ORDER_COMPLETED = "order.completed"
CART_ITEM_OUT_OF_STOCK = "cart.item.out_of_stock"
INVENTORY_BACK_IN_STOCK = "inventory.item.back_in_stock"
DEAD_LETTERS = "cart.dlq"

PUBLISHED = (CART_ITEM_ADDED, CART_ITEM_UPDATED, CART_ITEM_REMOVED, CART_CLEARED)
TOPICS = (
    *PUBLISHED,
    ORDER_COMPLETED,
    CART_ITEM_OUT_OF_STOCK,
    INVENTORY_BACK_IN_STOCK,
    DEAD_LETTERS,
)


class EventModel(BaseModel):
    """Base of what travels over Kafka: camelCase names, and each field says what it is."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        use_attribute_docstrings=True,
    )


class CartEvent(EventModel):
    """What all published events have in common."""

    event_id: str
    """A UUID, the same on every delivery of this event."""
    cart_id: str
    """The cart's id, and the message's key."""
    user_id: str
    """Whose cart it is."""
    store_id: str
    """The store it is in."""
    saga_id: str
    """`cart-{epoch ms}-{userId}-{productId}`; for whole-cart operations the operation's name."""
    version: int
    """The cart's version after this change; each change of a cart has the next one."""
    currency: str
    """Of all amounts: ISO 4217."""
    timestamp: datetime
    """When the change was asked for: UTC, with milliseconds."""


class CartItemAdded(CartEvent):
    """An item was added to a cart, or more of it."""

    product_id: str
    """What was added."""
    quantity: int
    """Units that were added."""
    line_quantity: int
    """Units of the product that the cart has now."""
    product_price: Money
    """Price of one unit."""
    total_price: Money
    """Total of the cart."""


class CartItemUpdated(CartEvent):
    """The quantity of an item was set, or an order took some of its units."""

    product_id: str
    """Whose quantity was set."""
    quantity: int
    """Units of the product that the cart has now."""
    previous_quantity: int
    """Units that it had before."""
    product_price: Money
    """Price of one unit."""
    total_price: Money
    """Total of the cart."""
    reason: str = "user"
    """`user`, or `order_completed` when an order took units."""
    order_id: str | None = None
    """The order, when it was one."""


class CartItemRemoved(CartEvent):
    """An item was taken out of a cart."""

    product_id: str
    """What was taken out."""
    quantity: int
    """Units that the cart had of it."""
    total_price: Money
    """Total of the cart."""
    reason: str = "user"
    """`user`, or `order_completed` when an order took units."""
    order_id: str | None = None
    """The order, when it was one."""


class ClearedItem(EventModel):
    """A line of a cart that was cleared."""

    product_id: str
    """The product."""
    quantity: int
    """Units that the cart had of it."""


class CartCleared(CartEvent):
    """The whole cart is gone."""

    reason: ClearReason
    """`user`: its user cleared it; `order_completed`; `expired`: nobody touched it for long."""
    order_id: str | None
    """The order, when one was completed."""
    items: list[ClearedItem]
    """What was in the cart."""


def event_id(run_id: str, position: int) -> str:
    """The id of a run's n-th event: the same whenever the run is tried again."""
    return str(uuid5(UUID(run_id), f"event/{position}"))


def event_effect(topic: str, event: CartEvent, traceparent: str | None = None) -> EventEffect:
    """The event, framed for the outbox; `traceparent` is the span that makes it."""
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
