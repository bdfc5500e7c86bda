"""The events: topic, model, direction and an example."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from models import events, incoming

CART_ID = "507f1f77bcf86cd799439013"
USER_ID = "507f1f77bcf86cd799439014"
STORE_ID = "507f1f77bcf86cd799439015"
PRODUCT_ID = "507f1f77bcf86cd799439011"
CHECKOUT_ID = "4bbf0b2d5c0f4b7f9f9f6f0e0ab1c2d3"
ORDER_ID = "507f1f77bcf86cd799439016"
TIME = "2026-01-27T10:30:00.000Z"
ABANDONED = "2026-01-27T11:30:00.000Z"
RECOVERED = "2026-01-27T11:31:00.000Z"


@dataclass(frozen=True)
class Documented:
    """`send`: this service publishes the event; `receive`: it consumes the event."""

    topic: str
    model: type[BaseModel]
    action: Literal["send", "receive"]
    example: dict[str, Any]

    @property
    def name(self) -> str:
        """The event's name in the documents."""
        return self.model.__name__


def _sent(topic: str, model: type[BaseModel], version: int, fields: dict[str, Any]) -> Documented:
    example = {
        "eventId": "0f8fad5b-d9cb-569f-a165-70867728950e",
        "cartId": CART_ID,
        "userId": USER_ID,
        "storeId": STORE_ID,
        "sagaId": f"cart-1769509800000-{USER_ID}-{fields.get('productId', 'ApplyOrder')}",
        "version": version,
        "actorType": "event" if fields.get("orderId") else "user",
        "currency": "USD",
        "timestamp": TIME,
    }
    return Documented(topic, model, "send", example | fields)


_ORDERED = {"reason": "order_completed", "orderId": ORDER_ID}
_TWO, _THREE = ({"productId": PRODUCT_ID, "quantity": quantity} for quantity in (2, 3))
EVENTS = (
    _sent(
        events.CART_ITEM_ADDED,
        events.CartItemAdded,
        2,
        _TWO
        | {"lineQuantity": 3, "productPrice": 79.99, "priceSource": "client", "totalPrice": 239.97},
    ),
    _sent(
        events.CART_ITEM_UPDATED,
        events.CartItemUpdated,
        3,
        {"productId": PRODUCT_ID, "quantity": 1, "previousQuantity": 3}
        | {
            "productPrice": 79.99,
            "priceSource": "client",
            "totalPrice": 79.99,
            "reason": "user",
            "orderId": None,
        },
    ),
    _sent(
        events.CART_ITEM_REMOVED,
        events.CartItemRemoved,
        4,
        {"productId": PRODUCT_ID, "quantity": 1, "totalPrice": 0.0, **_ORDERED},
    ),
    _sent(events.CART_CLEARED, events.CartCleared, 5, {**_ORDERED, "items": [_THREE]}),
    _sent(
        events.CART_ORDER_APPLIED,
        events.CartOrderApplied,
        5,
        {"orderId": ORDER_ID}
        | {"items": [{"productId": PRODUCT_ID, "ordered": 3, "booked": 2, "short": 1}]},
    ),
    _sent(
        events.CART_HOLD_EXPIRED,
        events.CartHoldExpired,
        6,
        {"sagaId": f"cart-1769509800000-{USER_ID}-LapseHolds", "actorType": "schedule"}
        | {"items": [_TWO]},
    ),
    _sent(
        events.CART_CHECKED_OUT,
        events.CartCheckedOut,
        7,
        {"sagaId": f"cart-1769509800000-{USER_ID}-Checkout", "checkoutId": CHECKOUT_ID}
        | {"expiresAt": "2026-01-27T10:45:00.000Z", "totalPrice": 159.98}
        | {"items": [_TWO | {"productPrice": 79.99, "priceSource": "client"}]},
    ),
    _sent(
        events.CART_CHECKOUT_EXPIRED,
        events.CartCheckoutExpired,
        8,
        {"sagaId": f"cart-1769509800000-{USER_ID}-CancelCheckout", "actorType": "schedule"}
        | {"checkoutId": CHECKOUT_ID, "reason": "expired", "orderId": None},
    ),
    _sent(
        events.CART_ABANDONED,
        events.CartAbandoned,
        3,
        {"sagaId": f"cart-1769509800001-{USER_ID}-AbandonCart", "actorType": "schedule"}
        | {"updatedAt": TIME, "timestamp": ABANDONED, "items": [_TWO], "totalPrice": 159.98},
    ),
    _sent(
        events.CART_RECOVERED,
        events.CartRecovered,
        4,
        {"sagaId": f"cart-1769513460000-{USER_ID}-{PRODUCT_ID}", "timestamp": RECOVERED}
        | {"abandonedAt": ABANDONED, "totalPrice": 239.97},
    ),
    _sent(
        events.CART_MERGED,
        events.CartMerged,
        6,
        {"mergedInto": CART_ID, "strategy": "sum"}
        | {"items": [_THREE], "notMerged": [{"productId": PRODUCT_ID, "quantity": 1}]},
    ),
    Documented(
        events.ORDER_COMPLETED,
        incoming.OrderCompleted,
        "receive",
        {"cartId": CART_ID, "userId": USER_ID, "storeId": STORE_ID, "orderId": ORDER_ID}
        | {"checkoutId": CHECKOUT_ID, "items": [_TWO]},
    ),
    Documented(
        events.ORDER_CANCELLED,
        incoming.OrderCancelled,
        "receive",
        {"cartId": CART_ID, "userId": USER_ID, "storeId": STORE_ID, "orderId": ORDER_ID}
        | {"checkoutId": CHECKOUT_ID},
    ),
    Documented(
        events.CART_ITEM_OUT_OF_STOCK,
        incoming.OutOfStock,
        "receive",
        {"eventId": "inventory-check-123", "cartId": CART_ID}
        | {"unavailableItems": [{"productId": PRODUCT_ID, "reason": "Out of stock"}]},
    ),
    Documented(
        events.INVENTORY_BACK_IN_STOCK,
        incoming.BackInStock,
        "receive",
        {"eventId": "inventory-restock-7", "productId": PRODUCT_ID}
        | {"storeId": STORE_ID, "timestamp": TIME},
    ),
)

CLOUD_EVENT_HEADERS = {
    "ce_specversion": "The CloudEvents version.",
    "ce_id": "The event's id, `eventId`.",
    "ce_type": "The event's name: that of its topic, without `KAFKA_TOPIC_PREFIX`.",
    "ce_source": "The service that sends the event.",
    "ce_time": "The event's `timestamp`.",
    "content-type": "The media type of the value.",
}

TRACE_HEADERS = {
    "traceparent": "The span that sent the event (W3C Trace Context), if the change was traced.",
}

CONSUMED_HEADERS = {
    "ce_id": "The event's id, the same on every delivery.",
    "ce_time": "When the event happened (RFC 3339).",
}
"""The headers of a consumed event that are read. All others are kept when it is parked."""

DEAD_LETTER_HEADERS = {
    "dlq-topic": "The topic of the original message, without `KAFKA_TOPIC_PREFIX`.",
    "dlq-partition": "Its partition.",
    "dlq-offset": "Its offset.",
    "dlq-timestamp": "Its time, in milliseconds.",
    "dlq-size": "The size of the original in bytes; a message that is too large is truncated.",
    "dlq-error": "The reason, as a stable code.",
    "dlq-detail": "The reason in words.",
    "dlq-time": "When the message was parked.",
}
"""A dead letter also has the headers of the original message."""

UNDECODED_HEADERS = {
    "dlq-raw": "Only if it could not be decoded: `batch` or `record`, whose bytes are the value.",
    "dlq-last-offset": "With `dlq-raw`: the last offset of the messages in the batch.",
}
"""Of a dead letter whose message could not be decoded."""
