"""`cart rebuild-cache`: fills the cache from MongoDB, for a Redis that has lost its data.

A version that a saga caches meanwhile has its own key. `cart reconcile` corrects wrong entries.
"""

import asyncio

from adapters.keyring import Keyring
from adapters.mongo.carts import CartStore
from adapters.mongo.reconcile import CartBooks
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from cli.audit import audited_now
from cli.console import CliError, show, unavailable
from cli.options import AsJson, By, OnlyStore, operator
from models.cart import cart_json
from models.documents import Cart
from models.errors import DependencyUnavailable
from settings import Settings, load_settings

CARTS_AT_ONCE = 100


def rebuild_cache(store: OnlyStore = None, *, by: By = None, as_json: AsJson = False) -> None:
    """Fill the cache with every cart in MongoDB."""
    settings = load_settings()
    try:
        cached = asyncio.run(_rebuild(settings, store))
    except DependencyUnavailable as error:
        raise CliError(f"{unavailable(error)}; it is safe to run this again") from None
    audited_now(settings, "rebuild_cache", by=operator(by), count=cached, storeId=store)
    show(
        {"cached": cached},
        f"{cached} carts cached for {settings.cart_cache_ttl} s",
        as_json=as_json,
    )


async def _rebuild(settings: Settings, store: str | None) -> int:
    """The number of carts cached."""
    carts = await CartStore.connect(settings.mongodb, app_name="cart-rebuild-cache")
    redis = RedisPool(settings.redis)
    cache = CartCache(redis, Keyring(settings.secrets_of_data), ttl_seconds=settings.cart_cache_ttl)
    books = CartBooks()

    async def put(cart: Cart) -> None:
        await cache.put(cart.key, version=cart.version, body=cart_json(cart.id, cart))

    count = 0
    try:
        stores = [store] if store else [each async for each in books.stores()]
        for store_id in stores:
            async for page in books.pages(store_id, size=CARTS_AT_ONCE):
                await asyncio.gather(*map(put, page))
                count += len(page)
    finally:
        await redis.close()
        await carts.close()
    return count
