"""Stands in for the order service: publishes that a payment has succeeded or failed."""

import json
from datetime import UTC, datetime
from uuid import uuid4

from adapters.kafka.publisher import EventPublisher
from models.cart import CartKey
from models.effects import EventEffect
from models.events import ORDER_CANCELLED, ORDER_COMPLETED
from models.wire import timestamp
from settings import Settings


class OrderService:
    """Publishes what became of an order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def end(self, cart: CartKey, checkout_id: str, cart_id: str, *, paid: bool) -> None:
        """Publishes `order.completed` or `order.cancelled`. Raises `DependencyUnavailable`."""
        now = datetime.now(UTC)
        order = {
            "orderId": f"order-{uuid4().hex[:12]}",
            "checkoutId": checkout_id,
            "cartId": cart_id,
            "userId": cart.user_id,
            "storeId": cart.store_id,
            "timestamp": timestamp(now),
        }
        publisher = EventPublisher(self._settings)
        try:
            await publisher.publish(
                [
                    EventEffect(
                        id=uuid4().hex,
                        topic=ORDER_COMPLETED if paid else ORDER_CANCELLED,
                        key=cart_id,
                        value=json.dumps(order),
                        time=now,
                    )
                ]
            )
        finally:
            await publisher.close()
