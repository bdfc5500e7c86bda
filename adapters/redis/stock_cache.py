"""Redis: what the Inventory Service last said about products, at `inventory:{storeId}:{productId}`.

For showing only, never for a decision. Filled by who reads a cart, dropped by every operation on
the product. So nothing here fails: without Redis nothing is known, and what could not be dropped is
forgotten after its TTL.
"""

import logging
from collections.abc import Collection

import orjson

from adapters.inventory import Stock
from adapters.redis.pool import RedisPool
from models.errors import DependencyUnavailable

logger = logging.getLogger(__name__)


class StockCache:
    """Cached stock of products."""

    def __init__(self, redis: RedisPool, *, ttl_seconds: int) -> None:
        self._redis = redis
        self._ttl = ttl_seconds

    async def get(self, store_id: str, products: Collection[str]) -> dict[str, Stock]:
        """What is known of these products, in one read."""
        try:
            async with self._redis.asked("stock") as redis:
                found = await redis.mget([stock_key(store_id, product) for product in products])
        except DependencyUnavailable as error:  # the breaker warns, once
            logger.debug("Stock is shown without the cache: %s", error)
            return {}
        return {
            product: Stock(**orjson.loads(text))
            for product, text in zip(products, found, strict=True)
            if text is not None
        }

    async def put(self, store_id: str, product: str, stock: Stock) -> None:
        """Keeps what the inventory has just said."""
        text = orjson.dumps({"available": stock.available, "held": stock.held})
        try:
            async with self._redis.asked("stock") as redis:
                await redis.set(stock_key(store_id, product), text, ex=self._ttl)
        except DependencyUnavailable as error:
            logger.debug("Stock was not cached: %s", error)

    async def drop(self, store_id: str, products: Collection[str]) -> None:
        """Forgets these products: their stock has changed."""
        try:
            async with self._redis.asked("stock") as redis:
                await redis.delete(*(stock_key(store_id, product) for product in products))
        except DependencyUnavailable as error:
            logger.debug("Stock was not dropped from the cache: %s", error)


def stock_key(store_id: str, product: str) -> str:
    """Where a product's stock is cached."""
    return f"inventory:{store_id}:{product}"
