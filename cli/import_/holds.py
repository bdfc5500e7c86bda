"""Makes the units of an imported cart held at the inventory.

What the inventory already holds for the user is taken over; the rest is reserved.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from activities.concurrency import gather_bounded
from adapters.inventory import InventoryClient
from adapters.mongo.stores import StoreRegistry
from models.cart import CartContent
from models.cart_line import CartLine
from models.effects import ReleaseEffect
from models.limits import Policy
from models.operations.base import UNDO, releases_of
from models.saga import SagaRun
from models.steps import ReserveInventory

LINES_AT_ONCE = 4


@dataclass(frozen=True)
class HeldCart:
    """A cart whose lines know their held units, and the undo of what was reserved for it."""

    cart: CartContent
    undo: tuple[ReleaseEffect, ...]


class Holds:
    """Raises `DependencyUnavailable` when the inventory or MongoDB does not answer."""

    def __init__(self, inventory: InventoryClient, stores: StoreRegistry) -> None:
        self._inventory = inventory
        self._stores = stores
        self._has_holds: dict[str, bool] = {}

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
            lines = await gather_bounded(line_held, cart.cart_items, LINES_AT_ONCE)
        except BaseException:
            await self.release(cart, undo)
            raise
        held_cart = cart.with_holds_of(lines, saga.started_at, policy.lifetime)
        return HeldCart(held_cart, tuple(undo))

    async def release(self, cart: CartContent, undo: Iterable[ReleaseEffect]) -> None:
        """Releases what was reserved for a cart that was not stored."""
        for one in undo:
            await self._inventory.release(cart.store_id, cart.user_id, one)

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
        return (await self._inventory.reserve(request)).granted

    async def _held(self, cart: CartContent) -> dict[str, int]:
        """Product id -> units that are held for the user. Not asked for in a store without any."""
        if cart.store_id not in self._has_holds:
            page = await self._inventory.reservations(cart.store_id)
            self._has_holds[cart.store_id] = bool(page.reservations or page.cursor)
        if not self._has_holds[cart.store_id]:
            return {}
        return await self._inventory.held_units(cart.store_id, cart.user_id)
