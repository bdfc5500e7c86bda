"""Redis: the latest known stock of products, at `inventory:{storeId}:{productId}`.

Used to show stock, never to decide. Reads of carts fill it, and operations on a product delete its
entry. Nothing here raises `DependencyUnavailable`: without Redis no stock is known, and an entry
that could not be deleted expires.
"""

from collections.abc import Collection

import orjson
import structlog

from adapters.inventory import Stock
from adapters.redis.pool import RedisPool, get_all
from models.errors import DependencyUnavailable
from telemetry.metrics import CACHE_HITS, CACHE_MISSES

logger = structlog.stdlib.get_logger(__name__)


class StockCache:
    """Cached stock of products."""

    def __init__(self, redis: RedisPool, *, ttl_seconds: int) -> None:
        self._redis = redis
        self._ttl = ttl_seconds

    async def get(self, store_id: str, products: Collection[str]) -> dict[str, Stock]:
        """The cached stock by product, without the products that are not cached."""
        try:
            async with self._redis.client("stock") as redis:
                keys = (stock_key(store_id, product) for product in products)
                found = await get_all(redis, keys)
        except DependencyUnavailable as error:  # the circuit breaker logs a warning, once
            _log_unavailable("stock_unread", "Could not read the stock cache", error)
            return {}
        stock = {
            product: Stock(**orjson.loads(text))
            for product, text in zip(products, found, strict=True)
            if text is not None
        }
        CACHE_HITS.add(len(stock), {"cache": "inventory"})
        CACHE_MISSES.add(len(found) - len(stock), {"cache": "inventory"})
        return stock

    async def put(self, store_id: str, product: str, stock: Stock) -> None:
        """Caches the stock of a product."""
        text = orjson.dumps({"available": stock.available, "held": stock.held})
        try:
            async with self._redis.client("stock") as redis:
                await redis.set(stock_key(store_id, product), text, ex=self._ttl)
        except DependencyUnavailable as error:
            _log_unavailable("stock_uncached", "Could not cache stock", error)

    async def drop(self, store_id: str, products: Collection[str]) -> None:
        """Deletes products whose stock has changed."""
        try:
            async with self._redis.client("stock") as redis:
                pipeline = redis.pipeline(transaction=False)
                for product in products:
                    pipeline.delete(stock_key(store_id, product))
                await pipeline.execute()
        except DependencyUnavailable as error:
            _log_unavailable("stock_kept", "Could not delete stale stock", error)


def _log_unavailable(event: str, message: str, error: DependencyUnavailable) -> None:
    logger.debug(event, message=message, reason=str(error))


def stock_key(store_id: str, product: str) -> str:
    """The Redis key of a product's stock."""
    return f"inventory:{store_id}:{product}"
