"""Carts of the original service for the bench of `cart import`: planted, and compared with."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from dev.stack.stack import Stack
from models.documents import Cart

STORE = "original"
PRODUCTS = 200
SOLD_OUT_EVERY = 10
ENOUGH = 10_000_000
PRICE = 79.99
UNITS = 2
BATCH = 1000
SHOWN_EVERY = 20_000
NOT_HELD = "units_not_held"

Document = dict[str, Any]


@dataclass(frozen=True)
class Originals:
    """`carts` carts with so many lines each, in a database beside the service's."""

    stack: Stack
    carts: int
    lines: int

    @property
    def uri(self) -> str:
        return self._service_uri.replace("/cart-service", "/shop")

    @property
    def _service_uri(self) -> str:
        return self.stack.settings.mongodb.get_secret_value()

    async def plant(self) -> None:
        """Stores the carts, and the stock: nothing of every tenth product, enough of the others."""
        began = time.monotonic()
        async with _database(self.uri) as database:
            for first in range(0, self.carts, BATCH):
                last = min(first + BATCH, self.carts)
                carts = [_original(number, self.lines) for number in range(first, last)]
                await database["carts"].insert_many(carts, ordered=False)
                if last % SHOWN_EVERY == 0:
                    print(f"    {last} of {self.carts} carts planted", flush=True)
        async with _database(self._service_uri, "inventory") as database:
            await database["stock"].insert_many(
                {
                    "_id": f"{STORE}/{_product(number)}",
                    "available": ENOUGH if number % SOLD_OUT_EVERY else 0,
                    "held": 0,
                    "sold": 0,
                }
                for number in range(PRODUCTS)
            )
        print(f"{self.carts} carts planted in {time.monotonic() - began:.0f} s", flush=True)

    async def unaccounted(self, report: Path) -> list[str]:
        """What differs from the originals, or is held for nothing, and is not in the report."""
        text = await asyncio.to_thread(report.read_text)
        differences = [json.loads(line) for line in text.splitlines()]
        not_held = {(one["cart_id"], one["product_id"]) for one in differences}
        found = [str(one) for one in differences if one["kind"] != NOT_HELD]
        held: Counter[str] = Counter()
        async with _database(self.uri) as database:
            stored = Cart.get_pymongo_collection().find().sort("_id")
            async for original in database["carts"].find().sort("_id"):
                cart = await anext(stored, None)
                wanted = _wanted(original, not_held)
                if cart is None or _seen(cart) != wanted:
                    found.append(f"{wanted} became {cart and _seen(cart)}")
                    break  # from here on the pairs do not match
                held.update({product: units for product, _, _, units in wanted[-1]})
            found += [f"a cart too many: {cart}" async for cart in stored]
        async with _database(self._service_uri, "inventory") as database:
            booked = {
                one["_id"].partition("/")[2]: one["held"]
                async for one in database["stock"].find({"held": {"$gt": 0}})
            }
        if booked != +held:
            found.append(f"the inventory holds {booked}, the carts have {+held}")
        return found


@asynccontextmanager
async def _database(uri: str, name: str | None = None) -> AsyncIterator[AsyncDatabase[Document]]:
    async with AsyncMongoClient[Document](uri, tz_aware=True) as client:
        yield client[name] if name else client.get_default_database()


def _product(number: int) -> str:
    return f"product-{number % PRODUCTS}"


def _original(number: int, lines: int) -> Document:
    """A cart as Mongoose stores it: doubles, ObjectIds, one image."""
    now = datetime.now(UTC)
    items = [
        {
            "_id": ObjectId(),
            "productId": _product(number + line * 7),
            "productTitle": "Wireless Headphones",
            "productImage": "https://example.com/image.jpg",
            "productPrice": PRICE,
            "productQuantity": UNITS,
            "availabilityStatus": "available",
            "reservedAt": now,
        }
        for line in range(lines)
    ]
    return {
        "__v": 0,
        "userId": ObjectId(),
        "storeId": STORE,
        "quantity": UNITS * lines,
        "totalPrice": UNITS * lines * PRICE,
        "cartItems": items,
        "expireAt": now + timedelta(days=7),
        "version": 3,
        "createdAt": now,
        "updatedAt": now,
    }


def _wanted(original: Document, not_held: set[tuple[str, str]]) -> tuple[Any, ...]:
    """The cart that an original becomes, with the units held of each line."""
    cart_id = str(original["_id"])
    lines = [
        (
            item["productId"],
            item["productQuantity"],
            str(item["productPrice"]),
            0 if (cart_id, item["productId"]) in not_held else item["productQuantity"],
        )
        for item in original["cartItems"]
    ]
    return *_common(original), f"{original['totalPrice']:.2f}", str(original["userId"]), lines


def _seen(cart: Document) -> tuple[Any, ...]:
    """The same of a stored cart."""
    lines = [
        (
            line["productId"],
            line["productQuantity"],
            str(line["productPrice"]),
            line["productQuantity"] if line["unitsHeld"] is None else line["unitsHeld"],
        )
        for line in cart["cartItems"]
    ]
    return *_common(cart), str(cart["totalPrice"]), cart["userId"], lines


def _common(cart: Document) -> tuple[Any, ...]:
    """What does not change."""
    names = ("_id", "storeId", "quantity", "version", "expireAt", "createdAt", "updatedAt")
    return tuple(cart[name] for name in names)
