"""Makes the units of an imported cart held at the inventory.

What the inventory already holds for the user is taken over; the rest is reserved.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from adapters.inventory import InventoryClient
from adapters.mongo.stores import StoreRegistry
from models.cart import CartContent
from models.cart_line import CartLine
from models.effects import ReleaseEffect
from models.errors import DependencyUnavailable
from models.limits import Policy
from models.operations.base import UNDO, releases_of
from models.saga import SagaRun
from models.steps import ReserveInventory

CALLS_AT_ONCE = 32
"""Calls of the inventory, of all carts together. It has others to serve."""
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds until a call that failed is repeated. Calls are idempotent by their saga."""

T = TypeVar("T")


@dataclass(frozen=True)
class HeldCart:
    """A cart whose lines know their held units, and the undo of what was reserved for it."""

    cart: CartContent
    undo: tuple[ReleaseEffect, ...]


class Holds:
    """Raises `DependencyUnavailable` when the inventory or MongoDB does not answer."""

    def __init__(
        self,
        inventory: InventoryClient,
        stores: StoreRegistry,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._inventory = inventory
        self._stores = stores
        self._pauses = pauses
        self._has_holds: dict[str, asyncio.Task[bool]] = {}
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)

    async def hold(self, cart: CartContent, saga: SagaRun, policy: Policy) -> HeldCart:
        """Reserves what is missing. A line whose units cannot be had keeps what is held for it.

        Nothing, in a store whose carts hold no units.
        """
        if not policy.reserve:
            return HeldCart(cart, ())
        await self._stores.register(cart.store_id)
        held = await self._held(cart)
        undo: list[ReleaseEffect] = []

        async def line_held(line: CartLine) -> CartLine:
            units = min(held.get(line.product_id, 0), line.product_quantity)
            missing = line.product_quantity - units
            if missing:
                [release] = releases_of(saga, {line.product_id: missing}, UNDO)
                undo.append(release)
                if await self._reserve(cart, saga, line.product_id, missing, policy):
                    units = line.product_quantity
            is_whole = units == line.product_quantity
            return line.model_copy(update={"units_held": None if is_whole else units})

        try:
            lines = await asyncio.gather(*map(line_held, cart.cart_items))
        except BaseException:
            await self.release(cart, undo)
            raise
        held_cart = cart.with_holds_of(lines, saga.started_at, policy.lifetime)
        return HeldCart(held_cart, tuple(undo))

    async def release(self, cart: CartContent, undo: Iterable[ReleaseEffect]) -> None:
        """Releases what was reserved for a cart that was not stored."""
        for one in undo:
            await self._call(partial(self._inventory.release, cart.store_id, cart.user_id, one))

    async def _reserve(
        self, cart: CartContent, saga: SagaRun, product_id: str, units: int, policy: Policy
    ) -> bool:
        request = ReserveInventory(
            store_id=cart.store_id,
            product_id=product_id,
            user_id=cart.user_id,
            saga_id=saga.saga_id,
            quantity=units,
            ttl_seconds=policy.reserved_seconds,
        )
        return (await self._call(partial(self._inventory.reserve, request))).granted

    async def _held(self, cart: CartContent) -> dict[str, int]:
        """Product id -> units that are held for the user. Not asked for in a store without any."""
        store_id = cart.store_id
        if store_id not in self._has_holds:
            self._has_holds[store_id] = asyncio.create_task(self._any_held(store_id))
        if not await self._has_holds[store_id]:
            return {}
        return await self._call(partial(self._inventory.held_units, store_id, cart.user_id))

    async def _any_held(self, store_id: str) -> bool:
        page = await self._call(partial(self._inventory.reservations, store_id))
        return bool(page.reservations or page.cursor)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """A call of the inventory, repeated for a while when it does not answer."""
        for pause in self._pauses:
            with suppress(DependencyUnavailable):
                async with self._calls:
                    return await call()
            await asyncio.sleep(pause)
        async with self._calls:
            return await call()
