"""Steps on Redis: show the cart that was committed."""

from temporalio import activity

from activities.errors import as_application_error
from adapters.cache import CartCache
from adapters.carts import CartStore
from models.changes import cart_json
from models.messages import RefreshCache


class CacheActivities:
    """Activities over a `CartCache`; what it shows comes from the `CartStore`."""

    def __init__(self, cache: CartCache, carts: CartStore) -> None:
        self._cache = cache
        self._carts = carts

    @activity.defn(name="refresh_cache")
    async def refresh(self, request: RefreshCache) -> None:
        """Caches what the run has committed, or a later version, never an earlier one."""
        with as_application_error():
            cart = await self._carts.committed_cart(request.run)
            if cart is not None:
                await self._cache.put(
                    cart.store_id,
                    cart.user_id,
                    created_at=cart.created_at,
                    version=cart.version,
                    body=cart_json(cart.id, cart),
                )
