"""Every event there is: its topic, its model, who sends it, and an example."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from models import events, incoming

CART_ID = "507f1f77bcf86cd799439013"
USER_ID = "507f1f77bcf86cd799439014"
STORE_ID = "507f1f77bcf86cd799439015"
PRODUCT_ID = "507f1f77bcf86cd799439011"
ORDER_ID = "507f1f77bcf86cd799439016"
TIME = "2026-01-27T10:30:00.000Z"


@dataclass(frozen=True)
class Documented:
    """`send`: this service publishes it; `receive`: it acts on it."""

    topic: str
    model: type[BaseModel]
    action: Literal["send", "receive"]
    example: dict[str, Any]

    @property
    def name(self) -> str:
        """The event's name in the documents."""
        return self.model.__name__


def _published(subject: str, version: int, **more: Any) -> dict[str, Any]:
    return {
        "eventId": "0f8fad5b-d9cb-569f-a165-70867728950e",
        "cartId": CART_ID,
        "userId": USER_ID,
        "storeId": STORE_ID,
        "sagaId": f"cart-1769509800000-{USER_ID}-{subject}",
        "version": version,
        "currency": "USD",
        "timestamp": TIME,
        **more,
    }


EVENTS = (
    Documented(
        events.CART_ITEM_ADDED,
        events.CartItemAdded,
        "send",
        _published(
            PRODUCT_ID,
            2,
            productId=PRODUCT_ID,
            quantity=2,
            lineQuantity=3,
            productPrice=79.99,
            totalPrice=239.97,
        ),
    ),
    Documented(
        events.CART_ITEM_UPDATED,
        events.CartItemUpdated,
        "send",
        _published(
            PRODUCT_ID,
            3,
            productId=PRODUCT_ID,
            quantity=1,
            previousQuantity=3,
            productPrice=79.99,
            totalPrice=79.99,
            reason="user",
            orderId=None,
        ),
    ),
    Documented(
        events.CART_ITEM_REMOVED,
        events.CartItemRemoved,
        "send",
        _published(
            PRODUCT_ID,
            4,
            productId=PRODUCT_ID,
            quantity=1,
            totalPrice=0.0,
            reason="order_completed",
            orderId=ORDER_ID,
        ),
    ),
    Documented(
        events.CART_CLEARED,
        events.CartCleared,
        "send",
        _published(
            "ClearCart",
            5,
            reason="order_completed",
            orderId=ORDER_ID,
            items=[{"productId": PRODUCT_ID, "quantity": 3}],
        ),
    ),
    Documented(
        events.ORDER_COMPLETED,
        incoming.OrderCompleted,
        "receive",
        {
            "cartId": CART_ID,
            "userId": USER_ID,
            "storeId": STORE_ID,
            "orderId": ORDER_ID,
            "items": [{"productId": PRODUCT_ID, "quantity": 2}],
        },
    ),
    Documented(
        events.CART_ITEM_OUT_OF_STOCK,
        incoming.OutOfStock,
        "receive",
        {
            "eventId": "inventory-check-123",
            "cartId": CART_ID,
            "unavailableItems": [{"productId": PRODUCT_ID, "reason": "Out of stock"}],
        },
    ),
    Documented(
        events.INVENTORY_BACK_IN_STOCK,
        incoming.BackInStock,
        "receive",
        {
            "eventId": "inventory-restock-7",
            "productId": PRODUCT_ID,
            "storeId": STORE_ID,
            "timestamp": TIME,
        },
    ),
)

CLOUD_EVENT_HEADERS = {
    "ce_specversion": "Version of CloudEvents.",
    "ce_id": "The event's id, `eventId`.",
    "ce_type": "The event's name, which is the topic's.",
    "ce_source": "Who says it.",
    "ce_time": "The event's `timestamp`.",
    "content-type": "Of the value.",
}

TRACE_HEADERS = {
    "traceparent": "The span that sent the event (W3C Trace Context), if the change was traced.",
}

DEAD_LETTER_HEADERS = {
    "dlq-topic": "The topic that the message was read from.",
    "dlq-partition": "Its partition.",
    "dlq-offset": "Its offset.",
    "dlq-timestamp": "Its time, in milliseconds.",
    "dlq-size": "Bytes of the original; of one that is too large only the beginning is kept.",
    "dlq-error": "Why it is here, a stable code.",
    "dlq-detail": "The same, for people.",
    "dlq-time": "When it was parked.",
}
"""A letter has the headers of its message beside these."""
