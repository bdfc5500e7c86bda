"""The availability that the lines of a cart show when it is read.

For display only. A line that was marked out of stock stays so until its product is back in stock.
Any other line shows out of stock while the Inventory Service has fewer units in total than the
line. The total is free and held units, because the line's own units are held. Lines whose stock is
not known in time show their stored availability.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Protocol

import orjson

from adapters.inventory import Stock
from adapters.single_flight import SingleFlight
from api.entity_tags import cart_answer, shown_as
from api.errors import Answer
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


Check = Callable[[str, str], Awaitable[Stock | None]]
"""Reads the stock of a product in a store (`adapters.inventory.InventoryClient.check`)."""


class Availability:
    """Reads stock from the cache, and from the Inventory Service after a miss.

    A request waits `WAIT_SECONDS` for the service; later answers are cached for the next request.
    """

    def __init__(self, known: KnownStock, check: Check) -> None:
        self._known = known
        self._check_stock = check
        self._checks: SingleFlight[Stock | None] = SingleFlight()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        await self._checks.close()

    async def shown(self, store_id: str, answer: Answer) -> Answer:
        """A cart's answer, with the lines marked that have too little stock.

        A marked answer has its own entity tag, because it differs from what clients have cached.
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
        """The stock that the service returns in time."""
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
                stock = await self._check_stock(store_id, product)
            except DependencyUnavailable:  # the circuit breaker logs it once
                return None
        if stock is not None:
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
