"""Events on Kafka: the documented JSON, and how an event is framed.

Value: the JSON of the models below. Key: the cart's id, which keeps a cart's events in order.
Headers: CloudEvents 1.0 in binary mode. Delivery is at least once; `eventId` is the same on every
delivery of one event. No event has an email in it.
"""

from datetime import datetime
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from models.messages import EventEffect
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


class CartEvent(BaseModel):
    """What all published events have in common."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    event_id: str
    cart_id: str
    user_id: str
    store_id: str
    saga_id: str
    version: int
    currency: str
    timestamp: datetime


class CartItemAdded(CartEvent):
    """`quantity` was added, `lineQuantity` is what the line has now, `totalPrice` the cart's."""

    product_id: str
    quantity: int
    line_quantity: int
    product_price: Money
    total_price: Money


class CartItemUpdated(CartEvent):
    """`quantity` is what the line has now, `previousQuantity` what it had.

    `reason`: `user`, or `order_completed` when an order took some of the units.
    """

    product_id: str
    quantity: int
    previous_quantity: int
    product_price: Money
    total_price: Money
    reason: str = "user"
    order_id: str | None = None


class CartItemRemoved(CartEvent):
    """`quantity` is what the line had. `reason`: `user` or `order_completed`."""

    product_id: str
    quantity: int
    total_price: Money
    reason: str = "user"
    order_id: str | None = None


class ClearedItem(BaseModel):
    """A line of a cart that was cleared."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    product_id: str
    quantity: int


class CartCleared(CartEvent):
    """The whole cart is gone. `reason`: `user`, `order_completed` or `expired`."""

    reason: str
    order_id: str | None
    items: list[ClearedItem]


def event_id(run_id: str, position: int) -> str:
    """The id of a run's n-th event: the same whenever the run is tried again."""
    return str(uuid5(UUID(run_id), f"event/{position}"))


def event_effect(topic: str, event: CartEvent) -> EventEffect:
    """The event, framed for the outbox."""
    return EventEffect(
        id=event.event_id,
        topic=topic,
        key=event.cart_id,
        value=to_json(event).decode(),
        time=event.timestamp,
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
