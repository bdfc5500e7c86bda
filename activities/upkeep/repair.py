"""Steps of a cart's repair, under the cart's lock: compare what is stored about it."""

from datetime import datetime

import orjson
from temporalio import activity

from activities.errors import as_application_error
from adapters.inventory import InventoryClient
from adapters.mongo.carts import CartStore
from adapters.mongo.reconcile import CartBooks
from adapters.redis.cart_cache import CachedCart, CartCache
from models.cart import Cart
from models.changes import cart_json
from models.errors import DependencyUnavailable
from models.messages import Drift, DriftKind, EventEffect, ReleaseEffect
from models.operation import Operation
from models.upkeep.reconcile import ExamineCart, Examined, ForgetCached, hold_drifts


class RepairActivities:
    """Activities over all that knows something about a cart."""

    def __init__(
        self, carts: CartStore, books: CartBooks, inventory: InventoryClient, cache: CartCache
    ) -> None:
        self._carts = carts
        self._books = books
        self._inventory = inventory
        self._cache = cache

    @activity.defn(name="examine_cart")
    async def examine(self, request: ExamineCart) -> Examined:
        """What of it is drift, when no other operation on the cart runs.

        What is pending is read before what is held: a release that a relay does in between is then
        known to be open, and nothing is said of its product.
        """
        store_id, user_id = request.run.store_id, request.run.user_id
        with as_application_error():
            pending, cart, drifts = await self._compare(store_id, user_id, request.reserving)
            cached = await self._cached(store_id, user_id) if request.caching else None
        if cached is not None and not shows(cached, cart):
            drifts.append(_stale(cached, cart))
        drifts += _stuck(pending, request.stuck_before)
        return Examined(drifts=tuple(drifts))

    async def hold_drifts(self, store_id: str, user_id: str, *, reserving: bool) -> list[Drift]:
        """Where holds and cart differ; without the cart's lock they may for a moment."""
        _, _, drifts = await self._compare(store_id, user_id, reserving)
        return drifts

    @activity.defn(name="forget_cached")
    async def forget(self, request: ForgetCached) -> None:
        """Before the right version is cached."""
        with as_application_error():
            await self._cache.forget(request.store_id, request.user_id)

    async def _compare(
        self, store_id: str, user_id: str, reserving: bool
    ) -> tuple[list[Operation], Cart | None, list[Drift]]:
        """What is pending, the cart, and where it and its holds differ."""
        pending = await self._books.pending(store_id, user_id)
        cart = await self._carts.cart(store_id, user_id)
        held = await self._held(store_id, user_id)
        lines = {line.product_id: line.product_quantity for line in cart.cart_items} if cart else {}
        unsettled = {effect.product_id for effect in _open(pending) if effect.kind == "release"}
        return pending, cart, hold_drifts(lines, held, unsettled=unsettled, reserving=reserving)

    async def _held(self, store_id: str, user_id: str) -> dict[str, int]:
        held: dict[str, int] = {}
        cursor: str | None = None
        while True:
            page = await self._inventory.reservations(store_id, user_id=user_id, cursor=cursor)
            held |= {row.product_id: row.quantity for row in page.reservations}
            if page.cursor is None:
                return held
            cursor = page.cursor

    async def _cached(self, store_id: str, user_id: str) -> CachedCart | None:
        try:
            [cached] = await self._cache.peek(store_id, [user_id])
        except DependencyUnavailable:
            return None  # nothing is shown, so nothing wrong is
        return cached


def shows(cached: CachedCart, cart: Cart | None) -> bool:
    """Whether what is cached is the cart."""
    if cart is None or not cached.shows(cart.created_at, cart.version):
        return False
    if cached.body is None:
        return True
    return bool(orjson.loads(cached.body) == orjson.loads(cart_json(cart.id, cart)))


def _stale(cached: CachedCart, cart: Cart | None) -> Drift:
    stored = f"version {cart.version}" if cart else "no cart"
    return Drift(
        kind=DriftKind.STALE_CACHE,
        expected=cart.version if cart else 0,
        found=cached.version,
        detail=f"another version {cached.version} is cached, {stored} is stored",
    )


def _open(records: list[Operation]) -> list[EventEffect | ReleaseEffect]:
    return [effect for record in records for effect in record.effects if effect.done_at is None]


def _stuck(records: list[Operation], before: datetime) -> list[Drift]:
    return [
        Drift(
            kind=DriftKind.STUCK_EFFECT,
            product_id=effect.product_id if effect.kind == "release" else None,
            effect_id=effect.id,
            detail=f"{effect.kind} pending since {record.at:%Y-%m-%d %H:%M:%S} UTC",
        )
        for record in records
        if record.at < before
        for effect in _open([record])
    ]
