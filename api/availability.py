"""What the lines of a cart show when it is read: whether there are still units for them.

For showing only. A line that was marked out of stock stays so until its product is back; any other
shows it while the Inventory Service has fewer units, free and held together, than the line: its own
are among those that are held. What the service does not say in time is shown as it is stored.
"""

import asyncio
import zlib
from collections.abc import Collection
from functools import partial
from typing import Protocol

import orjson

from adapters.inventory import Stock
from api.entity_tags import cart_answer, shown_as
from api.errors import Answer
from api.single_flight import SingleFlight
from models.cart import CartView
from models.errors import DependencyUnavailable

WAIT_SECONDS = 0.25
AT_ONCE = 16
MAX_CHECKS = 200
OUT_OF_STOCK = "Out of stock"


class KnownStock(Protocol):
    """What the inventory has said lately (`adapters.redis.stock_cache.StockCache`)."""

    async def get(self, store_id: str, products: Collection[str]) -> dict[str, Stock]: ...
    async def put(self, store_id: str, product: str, stock: Stock) -> None: ...


class Inventory(Protocol):
    """Says how many units there are (`adapters.inventory.InventoryClient`)."""

    async def check(self, store_id: str, product_id: str) -> Stock: ...


class Availability:
    """Stock by the cache, and by the Inventory Service what that does not know.

    A reader waits `WAIT_SECONDS` for the service; answers that come later are for the next one.
    """

    def __init__(self, known: KnownStock, inventory: Inventory) -> None:
        self._known = known
        self._inventory = inventory
        self._checks: SingleFlight[Stock | None] = SingleFlight()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        await self._checks.close()

    async def shown(self, store_id: str, answer: Answer) -> Answer:
        """A cart's answer with the lines out of stock that there are no units for.

        It has another entity tag then: what a client has seen is no longer what it would see.
        """
        units = {
            line["productId"]: line["productQuantity"]
            for line in orjson.loads(answer.body)["cartItems"]
            if line["availabilityStatus"] == "available"
        }
        if not units:
            return answer
        stock = await self._known.get(store_id, units)
        stock |= await self._asked(store_id, units.keys() - stock.keys())
        gone = {
            product
            for product, wanted in units.items()
            if product in stock and stock[product].available + stock[product].held < wanted
        }
        return _without(answer, gone) if gone else answer

    async def _asked(self, store_id: str, products: Collection[str]) -> dict[str, Stock]:
        """What the service says of these products within the time."""
        asked = {
            self._checks.join((store_id, product), partial(self._check, store_id, product)): product
            for product in list(products)[: max(0, MAX_CHECKS - len(self._checks))]
        }
        if not asked:
            return {}
        done, _ = await asyncio.wait(asked, timeout=WAIT_SECONDS)
        answers = {asked[check]: check.result() for check in done}
        return {product: stock for product, stock in answers.items() if stock is not None}

    async def _check(self, store_id: str, product: str) -> Stock | None:
        async with self._at_once:
            try:
                stock = await self._inventory.check(store_id, product)
            except DependencyUnavailable:  # the breaker warns, once
                return None
        await self._known.put(store_id, product, stock)
        return stock


def _without(answer: Answer, gone: set[str]) -> Answer:
    cart = CartView.model_validate_json(answer.body)
    lines = [
        line.model_copy(
            update={"availability_status": "out_of_stock", "unavailability_reason": OUT_OF_STOCK}
        )
        if line.product_id in gone
        else line
        for line in cart.cart_items
    ]
    changed = cart_answer(cart.model_copy(update={"cart_items": lines}))
    return shown_as(changed, zlib.crc32(" ".join(sorted(gone)).encode()))
