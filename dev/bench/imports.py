"""Duration and memory of `cart import`.

`python -m dev.bench.imports [--carts 100000] [--lines 3]`

The carts are those of the original service: doubles, ObjectIds, one image. A tenth of the products
has been sold out, and the import is stopped once and repeated.
"""

import argparse
import asyncio
import os
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient

from dev.bench.rig import local_stack
from dev.inventory_service.documents import Document
from dev.stack.stack import Stack
from models.documents import Cart

STORE = "original"
PRODUCTS = 200
BATCH = 1000
STOPPED_AFTER = 20.0
BYTES_PER_KIB = 1024


def original(number: int, lines: int) -> dict[str, Any]:
    """A cart as Mongoose stores it."""
    now = datetime.now(UTC)
    items = [
        {
            "_id": ObjectId(),
            "productId": f"product-{(number + line * 7) % PRODUCTS}",
            "productTitle": "Wireless Headphones",
            "productImage": "https://example.com/image.jpg",
            "productPrice": 79.99,
            "productQuantity": 2,
            "availabilityStatus": "available",
            "reservedAt": now,
        }
        for line in range(lines)
    ]
    return {
        "__v": 0,
        "userId": ObjectId(),
        "storeId": STORE,
        "quantity": 2 * lines,
        "totalPrice": 2 * lines * 79.99,
        "cartItems": items,
        "expireAt": now + timedelta(days=7),
        "version": 3,
        "createdAt": now,
        "updatedAt": now,
    }


async def run(uri: str, *, stop_after: float | None = None) -> None:
    """Runs the command, as an operator does; prints its last lines and its memory."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "import", "--from", uri, "--apply"),
        env=os.environ | {"COLUMNS": "160"},
    )
    if stop_after is not None:
        await asyncio.sleep(stop_after)
        process.kill()
    await process.wait()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / BYTES_PER_KIB
    what = "killed" if stop_after is not None else f"exit code {process.returncode}"
    print(f"    {what} after {time.monotonic() - began:.0f} s; {peak:.0f} MiB at most of any child")


async def stock(stack: Stack) -> None:
    """Enough of each product, and nothing of every tenth."""
    uri = stack.settings.mongodb.get_secret_value()
    async with AsyncMongoClient[Document](uri) as client:
        await client["inventory"]["stock"].insert_many(
            {
                "_id": f"{STORE}/product-{number}",
                "available": 0 if number % 10 == 0 else 10_000_000,
                "held": 0,
                "sold": 0,
            }
            for number in range(PRODUCTS)
        )


async def main(carts: int, lines: int) -> None:
    """Plants, imports until it is stopped, and imports the rest."""
    async with local_stack() as stack:
        uri = stack.settings.mongodb.get_secret_value()
        async with AsyncMongoClient[dict[str, Any]](uri) as client:
            collection = client["shop"]["carts"]
            for first in range(0, carts, BATCH):
                count = min(BATCH, carts - first)
                await collection.insert_many(original(first + one, lines) for one in range(count))
        await stock(stack)
        source = uri.replace("/cart-service", "/shop")
        await run(source, stop_after=STOPPED_AFTER)
        stored = await Cart.find({"storeId": STORE}).count()
        print(f"    {stored} carts stored when it was killed")
        await run(source)
        print(f"{await Cart.find({'storeId': STORE}).count()} of {carts} carts stored")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--carts", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(main(options.carts, options.lines))
