"""Compares cached carts with stored ones."""

import orjson

from adapters.mongo.reconcile import BriefCart, CartBooks
from adapters.redis.cart_cache import CachedCart, CartCache
from models.cart import CartKey, cart_json
from models.documents import Cart
from models.errors import DependencyUnavailable

MAX_CACHED_USERS = 10_000
"""Most cached carts of a store that are compared with the stored carts."""


class CachedCarts:
    """Finds cached carts that are not the stored ones.

    Finds none while Redis is unavailable, because reads do not use it then.
    """

    def __init__(self, cache: CartCache, books: CartBooks) -> None:
        self._cache = cache
        self._books = books

    async def of(self, key: CartKey) -> CachedCart | None:
        """The latest cached version of a cart, or None."""
        try:
            [cached] = await self._cache.peek(key.store_id, [key.user_id])
        except DependencyUnavailable:
            return None
        return cached

    async def stale(self, store_id: str, carts: list[BriefCart]) -> set[str]:
        """The users among the owners of `carts` whose cached cart is not the stored one."""
        try:
            found = await self._cache.peek(store_id, [cart.user_id for cart in carts])
        except DependencyUnavailable:
            return set()
        cached = {
            cart.user_id: one for cart, one in zip(carts, found, strict=True) if one is not None
        }
        stored = {cart.user_id: cart for cart in await self._books.whole(store_id, cached)}
        return {user for user, one in cached.items() if not is_current(one, stored.get(user))}

    async def without_cart(self, store_id: str, *, limit: int) -> set[str]:
        """At most `limit` users with a cached cart, but no stored one.

        Compares at most `MAX_CACHED_USERS` cached carts.
        """
        try:
            cached = await self._cache.cached_users(store_id, limit=MAX_CACHED_USERS)
        except DependencyUnavailable:
            return set()
        without = {*cached} - await self._books.users_with_cart(store_id, cached)
        return {*sorted(without)[:limit]}


def is_current(cached: CachedCart, cart: Cart | None) -> bool:
    """Whether the cached cart is the stored one."""
    if cart is None or cached.version != cart.version:
        return False
    if cached.body is None:
        return True
    return bool(orjson.loads(cached.body) == orjson.loads(cart_json(cart.id, cart)))
