"""`python -m tests.faults.api_under_test`: the API, which serves the users of a known bug with it.

It is the production API, but the users whose name has the prefix of `TRUSTS_REDIS` read the version
of their cart that is latest in Redis (`known_bugs`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson

from adapters.mongo.carts import CartStore
from adapters.redis.cart_cache import CartCache
from api import __main__ as api
from api import app
from api.state import ApiState, open_state
from models.cart import CartKey, CartVersion
from settings import Settings
from tests.faults.known_bugs import KnownBug, buggy_user


class TrustingCarts(CartStore):
    """Carts whose current version is the latest in Redis, for the users of the bug."""

    def __init__(self, carts: CartStore, cache: CartCache) -> None:
        super().__init__(carts.client)
        self._cache = cache

    async def version(self, key: CartKey) -> CartVersion | None:
        if key.user_id.startswith(buggy_user(KnownBug.TRUSTS_REDIS, "")):
            [cached] = await self._cache.peek(key.store_id, [key.user_id])
            if cached is not None and cached.body is not None:
                return CartVersion(orjson.loads(cached.body)["_id"], cached.version)
        return await super().version(key)


@asynccontextmanager
async def open_state_with_bug(settings: Settings) -> AsyncIterator[ApiState]:
    """`api.state.open_state` with `TrustingCarts`."""
    async with open_state(settings) as state:
        assert isinstance(state.carts, CartStore)
        assert isinstance(state.cache, CartCache)
        yield replace(state, carts=TrustingCarts(state.carts, state.cache))


if __name__ == "__main__":
    app.open_state = open_state_with_bug  # type: ignore[attr-defined]
    api.main()
