"""`cart rebuild-cache`: caches every cart anew, from MongoDB; for a Redis that has lost its data.

Whatever a saga caches meanwhile is newer and stays. What is cached wrongly is no matter of this
command but of `cart reconcile`.
"""

from typing import TYPE_CHECKING

import typer

from cli.ops.options import AsJson, OnlyStore

if TYPE_CHECKING:
    from settings import Settings

CARTS_AT_ONCE = 100


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command(name="rebuild-cache")(rebuild_cache)


def rebuild_cache(
    store: OnlyStore = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Cache every cart anew, from MongoDB."""
    import asyncio  # noqa: PLC0415

    from cli.console import CliError, print_json  # noqa: PLC0415
    from models.errors import DependencyUnavailable  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    try:
        cached, kept = asyncio.run(_rebuild(settings, store))
    except DependencyUnavailable as error:
        raise CliError(f"{error}; it can be run again") from None
    if as_json:
        print_json({"cached": cached, "newerKept": kept})
    else:
        print(f"{cached} carts cached for {settings.cart_cache_ttl} s, {kept} newer ones kept")


async def _rebuild(settings: "Settings", store: str | None) -> tuple[int, int]:
    """How many carts were cached, and of how many the cache had a newer version."""
    import asyncio  # noqa: PLC0415

    from adapters.mongo.carts import CartStore  # noqa: PLC0415
    from adapters.mongo.reconcile import CartBooks  # noqa: PLC0415
    from adapters.redis.cart_cache import CartCache  # noqa: PLC0415
    from adapters.redis.pool import RedisPool  # noqa: PLC0415
    from models.cart import Cart  # noqa: PLC0415
    from models.changes import cart_json  # noqa: PLC0415

    carts = await CartStore.connect(settings.mongodb, app_name="cart-rebuild-cache")
    redis = RedisPool(settings.redis)
    cache = CartCache(redis, ttl_seconds=settings.cart_cache_ttl)
    books = CartBooks()

    async def put(cart: Cart) -> bool:
        return await cache.put(
            cart.store_id,
            cart.user_id,
            created_at=cart.created_at,
            version=cart.version,
            body=cart_json(cart.id, cart),
        )

    answers = {True: 0, False: 0}
    try:
        stores = [store] if store else [each async for each in books.stores()]
        for store_id in stores:
            async for page in books.pages(store_id, size=CARTS_AT_ONCE):
                for was_put in await asyncio.gather(*map(put, page)):
                    answers[was_put] += 1
    finally:
        await redis.close()
        await carts.close()
    return answers[True], answers[False]
