"""Steps of a cart's repair, under the cart's lock."""

from datetime import datetime

from temporalio import activity

from activities.errors import as_application_error
from activities.upkeep.cached_carts import CachedCarts, is_current
from adapters.inventory import InventoryClient
from adapters.mongo.carts import CartStore
from adapters.mongo.reconcile import CartBooks, PendingEffect, PendingOfCart
from adapters.redis.cart_cache import CachedCart, CartCache
from models.cart import CartKey
from models.documents import Cart
from models.drift import Drift, DriftKind
from models.errors import VersionConflict
from models.upkeep.reconcile import (
    MOST_DRIFTS,
    NEVER,
    ExamineCart,
    Examined,
    ForgetCached,
    hold_drifts,
    listed,
)


class RepairActivities:
    """Activities on all systems that store something about a cart."""

    def __init__(
        self, carts: CartStore, books: CartBooks, inventory: InventoryClient, cache: CartCache
    ) -> None:
        self._carts = carts
        self._books = books
        self._inventory = inventory
        self._cache = cache
        self._cached = CachedCarts(cache, books)

    @activity.defn(name="examine_cart")
    async def examine(self, request: ExamineCart) -> Examined:
        """The drifts of a cart. Correct only while no other operation on the cart runs.

        Expiry takes no lock. Raises `VersionConflict` when it has cleared the cart meanwhile.
        Pending effects are read before reservations: so a release that a relay does in between is
        known to be pending, and its product is skipped.
        """
        key = CartKey(request.store_id, request.user_id)
        with as_application_error():
            before = await self._carts.version(key)
            pending = await self._pending(key, request.stuck_before)
            cart, drifts = await self._compare(key, pending, reserving=request.reserving)
            if await self._carts.version(key) != before:
                raise VersionConflict("/".join(key))
            cached = await self._cached.of(key) if request.caching else None
        if cached is not None and not is_current(cached, cart):
            drifts.append(_stale(cached, cart))
        drifts += map(_stuck, pending.stuck)
        return Examined(drifts=tuple(listed(drifts, more=pending.more)))

    async def hold_drifts(self, store_id: str, user_id: str, *, reserving: bool) -> list[Drift]:
        """The drifts of a cart's reservations. Without its lock, they may be in progress."""
        key = CartKey(store_id, user_id)
        _, drifts = await self._compare(key, await self._pending(key), reserving=reserving)
        return listed(drifts)

    @activity.defn(name="forget_cached")
    async def forget(self, request: ForgetCached) -> None:
        """Deletes a stale cart from the cache."""
        with as_application_error():
            await self._cache.forget(CartKey(request.store_id, request.user_id))

    async def _pending(self, key: CartKey, stuck_before: datetime = NEVER) -> PendingOfCart:
        return await self._books.pending(key, stuck_before=stuck_before, limit=MOST_DRIFTS)

    async def _compare(
        self, key: CartKey, pending: PendingOfCart, *, reserving: bool
    ) -> tuple[Cart | None, list[Drift]]:
        """The cart and the drifts of its reservations. `pending` was read before."""
        cart = await self._carts.cart(key)
        held = await self._inventory.held_units(*key)
        wanted = cart.held_units if cart else {}
        return cart, hold_drifts(wanted, held, unsettled=pending.unsettled, reserving=reserving)


def _stale(cached: CachedCart, cart: Cart | None) -> Drift:
    stored = f"version {cart.version}" if cart else "no cart"
    return Drift(
        kind=DriftKind.STALE_CACHE,
        expected=cart.version if cart else 0,
        found=cached.version,
        detail=f"another version {cached.version} is cached, {stored} is stored",
    )


def _stuck(effect: PendingEffect) -> Drift:
    return Drift(
        kind=DriftKind.STUCK_EFFECT,
        product_id=effect.product_id,
        effect_id=effect.id,
        detail=f"{effect.kind} pending since {effect.since:%Y-%m-%d %H:%M:%S} UTC",
    )
