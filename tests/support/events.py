"""Events of other services, as they would send them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from adapters.kafka.connection import connection_options
from adapters.kafka.dead_letters import Letter, letters
from models.events import (
    CART_ITEM_OUT_OF_STOCK,
    INVENTORY_BACK_IN_STOCK,
    ORDER_CANCELLED,
    ORDER_COMPLETED,
)
from settings import Settings
from tests.support.shop import Buyer, Shop

READ_SECONDS = 20
"""The time to read a topic; a stand-in with mixed-up offsets would be read without end."""


@dataclass
class OtherServices:
    """A producer for the events that the cart service consumes."""

    settings: Settings
    producer: AIOKafkaProducer

    async def send(
        self,
        topic: str,
        value: Any,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        timestamp: int | None = None,
    ) -> tuple[int, int]:
        """Sends JSON, or bytes unchanged; returns the partition and offset."""
        sent = await self.producer.send_and_wait(
            topic,
            value if isinstance(value, bytes) else json.dumps(value).encode(),
            key=key.encode() if key else None,
            headers=[(name, text.encode()) for name, text in (headers or {}).items()],
            timestamp_ms=timestamp,
        )
        return sent.partition, sent.offset

    async def order(self, buyer: Buyer, cart_id: str, order_id: str = "", **more: Any) -> str:
        """The order service: an order was completed; returns the order's id."""
        order_id = order_id or f"order-{uuid4().hex[:12]}"
        body = {
            "cartId": cart_id,
            "userId": buyer.user_id,
            "storeId": buyer.shop.store_id,
            "orderId": order_id,
        }
        await self.send(ORDER_COMPLETED, body | more, key=cart_id)
        return order_id

    async def cancel(self, buyer: Buyer, cart_id: str, order_id: str, **more: Any) -> None:
        """The order service: an order was cancelled."""
        body = {
            "cartId": cart_id,
            "userId": buyer.user_id,
            "storeId": buyer.shop.store_id,
            "orderId": order_id,
        }
        await self.send(ORDER_CANCELLED, body | more, key=cart_id)

    async def out_of_stock(self, shop: Shop, product_id: str, **more: Any) -> None:
        """The inventory: a product is out of stock."""
        body = {"productId": product_id, "storeId": shop.store_id} | more
        await self.send(CART_ITEM_OUT_OF_STOCK, body, key=product_id)

    async def back_in_stock(self, shop: Shop, product_id: str, **more: Any) -> None:
        """The inventory: a product is back in stock."""
        body = {"productId": product_id, "storeId": shop.store_id} | more
        await self.send(INVENTORY_BACK_IN_STOCK, body, key=product_id)

    async def letters(self, key: str) -> list[Letter]:
        """The dead letters with this key."""
        async with asyncio.timeout(READ_SECONDS):
            found = await letters(self.settings)
        return [one for one in found if one.key == key.encode()]


@asynccontextmanager
async def other_services(settings: Settings) -> AsyncIterator[OtherServices]:
    """Connects to the broker in the settings."""
    producer = AIOKafkaProducer(**connection_options(settings), max_request_size=4 * 1024 * 1024)
    await producer.start()
    try:
        yield OtherServices(settings, producer)
    finally:
        await producer.stop()
