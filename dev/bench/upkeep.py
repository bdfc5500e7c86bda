"""How long expiry, reconciling and the watch take over many carts, and how much memory: by hand.

`python -m dev.bench.upkeep [--expired 10000] [--carts 100000] [--drifts 100]`

On a local stack of its own. Carts, and what is held for them, are planted in MongoDB, so that the
bench does not have to add each of them.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from bson import Decimal128, ObjectId
from pymongo import AsyncMongoClient
from temporalio.client import Client

from adapters.mongo.client import close as close_mongo
from adapters.mongo.client import connect as connect_mongo
from adapters.mongo.watch import WatchStore
from dev.bench.rig import environment
from dev.stack.stack import Stack
from models.messages import DriftKind
from models.upkeep.expiry import ExpiryInput
from models.upkeep.reconcile import ReconcileInput
from settings import Settings, load_settings
from workflows import ids
from workflows.gateway import connect
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.reconcile import ReconcileWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow

WATCHED = ("worker", "inventory")
PRODUCTS = [f"product-{number}" for number in range(50)]
LINES = 3
BATCH = 5000
Document = dict[str, Any]


@dataclass
class Memory:
    """Resident memory of processes in MiB, looked at each half second."""

    stack: Stack
    first: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        for name in WATCHED:
            pid = self.stack.process(name).pid
            status = Path(f"/proc/{pid}/status").read_text()
            [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
            self.last[name] = int(line.split()[1]) / 1024
            self.first.setdefault(name, self.last[name])
            self.peak[name] = max(self.peak.get(name, 0), self.last[name])

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {self.first[name]:.0f} MiB before, {self.peak[name]:.0f} at most, "
            f"{self.last[name]:.0f} after"
            for name in WATCHED
        )


@asynccontextmanager
async def watched(stack: Stack) -> AsyncIterator[Memory]:
    """Looks at the memory for as long as something runs."""
    memory = Memory(stack)
    memory.look()

    async def look() -> None:
        while True:
            await asyncio.sleep(0.5)
            memory.look()

    looking = asyncio.create_task(look())
    try:
        yield memory
    finally:
        looking.cancel()
        memory.look()


def _cart(store: str, number: int, expires: datetime) -> Document:
    now = datetime.now(UTC)
    products = [PRODUCTS[(number + step) % len(PRODUCTS)] for step in range(LINES)]
    return {
        "_id": ObjectId(),
        "userId": f"user-{number:07}",
        "storeId": store,
        "sellerId": None,
        "fullName": None,
        "email": None,
        "quantity": LINES,
        "totalPrice": Decimal128(Decimal("10.00") * LINES),
        "currency": "USD",
        "cartItems": [
            {
                "productId": product,
                "productTitle": product,
                "productImage": [],
                "productPrice": Decimal128("10.00"),
                "productQuantity": 1,
                "availabilityStatus": "available",
                "reservedAt": now,
            }
            for product in products
        ],
        "expireAt": expires,
        "version": 1,
        "createdAt": now,
        "updatedAt": now,
    }


def _hold(store: str, user: str, product: str, quantity: int = 1) -> Document:
    return {
        "_id": f"{store}/{product}/planted-{user}-{product}-{quantity}",
        "storeId": store,
        "productId": product,
        "userId": user,
        "sagaId": f"planted-{user}-{product}-{quantity}",
        "at": datetime.now(UTC),
        "state": "reserved",
        "reservationId": "planted",
        "quantity": quantity,
        "released": 0,
        "delta": quantity,
    }


async def plant(settings: Settings, store: str, count: int, expires: datetime) -> None:
    """Carts of three lines each, everything held."""
    async with AsyncMongoClient[Document](settings.mongodb.get_secret_value()) as client:
        carts = client.get_default_database("cart-service")["carts"]
        inventory = client["inventory"]
        for begin in range(0, count, BATCH):
            batch = [_cart(store, n, expires) for n in range(begin, min(begin + BATCH, count))]
            await carts.insert_many(batch, ordered=False)
            holds = [
                _hold(store, cart["userId"], line["productId"])
                for cart in batch
                for line in cart["cartItems"]
            ]
            await inventory["actions"].insert_many(holds, ordered=False)
        for product in PRODUCTS:
            held = await inventory["actions"].count_documents(
                {"storeId": store, "productId": product}
            )
            await inventory["stock"].insert_one(
                {"_id": f"{store}/{product}", "available": count, "held": held, "sold": 0}
            )


async def plant_drifts(settings: Settings, store: str, carts: int, count: int) -> None:
    """One third each: too much held, too little, and held by somebody without a cart."""
    async with AsyncMongoClient[Document](settings.mongodb.get_secret_value()) as client:
        actions = client["inventory"]["actions"]
        for number in range(count):
            at = number * carts // count
            product = PRODUCTS[at % len(PRODUCTS)]
            match number % 3:
                case 0:
                    await actions.insert_one(_hold(store, f"user-{at:07}", product, 2))
                case 1:
                    lost = _hold(store, f"user-{at:07}", product)["_id"]
                    assert (await actions.delete_one({"_id": lost})).deleted_count == 1  # noqa: S101
                case _:
                    await actions.insert_one(_hold(store, f"user-{at:07}x", product))


async def expire(stack: Stack, client: Client, settings: Settings, count: int) -> None:
    """One pass over carts that have all expired; the one of the schedule would share them."""
    await client.get_schedule_handle(ids.EXPIRY_SCHEDULE).pause()
    await plant(settings, "expired", count, datetime.now(UTC) - timedelta(hours=1))
    async with watched(stack) as memory:
        began = time.monotonic()
        result = await client.execute_workflow(
            ExpiryWorkflow.run,
            ExpiryInput(),
            id="bench-expiry",
            task_queue=settings.temporal_task_queue,
        )
        took = time.monotonic() - began
    print(f"expiry: {result.cleared} of {count} carts cleared, {result.left} left, in {took:.0f} s")
    print(f"        {memory}")


async def reconcile(
    stack: Stack, client: Client, settings: Settings, count: int, drifts: int
) -> None:
    """A dry run over many carts, of which some have drifted."""
    await plant(settings, "many", count, datetime.now(UTC) + timedelta(days=30))
    await plant_drifts(settings, "many", count, drifts)
    async with watched(stack) as memory:
        began = time.monotonic()
        report = await client.execute_workflow(
            ReconcileWorkflow.run,
            ReconcileInput(store_id="many"),
            id="bench-reconcile",
            task_queue=settings.temporal_task_queue,
        )
        took = time.monotonic() - began
    kinds = [finding.drift.kind for finding in report.findings]
    print(f"reconcile: {report.carts} carts in {took:.0f} s; {drifts} drifts planted, found:")
    print("           " + ", ".join(f"{kinds.count(kind)} {kind}" for kind in DriftKind))
    print(f"           {memory}")


async def watch(client: Client, settings: Settings) -> None:
    """Looks of the watch over holds, one after the other, until a pass over all carts has ended."""
    took: list[float] = []
    store = WatchStore()
    mongo = await connect_mongo(settings.mongodb, app_name="bench")
    while not took or ((known := await store.latest()) and known.position):
        began = time.monotonic()
        await client.execute_workflow(
            WatchHoldsWorkflow.run, id="bench-watch", task_queue=settings.temporal_task_queue
        )
        took.append(time.monotonic() - began)
    await close_mongo(mongo)
    looks = f"{len(took)} looks of {sum(took) / len(took):.1f} s, the longest {max(took):.1f} s"
    if known and known.whole:
        print(f"watch:     {known.whole.carts} carts in {looks}: {len(known.drifts)} holds named")


async def main(expired: int, carts: int, drifts: int) -> None:
    """Both, one after the other."""
    with tempfile.TemporaryDirectory(prefix="cart-upkeep-") as folder, environment(Path(folder)):
        settings = load_settings()
        async with Stack(settings, echo=print) as stack:
            client = await connect(settings)
            await client.get_schedule_handle(ids.WATCH_SCHEDULE).delete()  # it is run by hand
            if expired:
                await expire(stack, client, settings, expired)
            if carts:
                await reconcile(stack, client, settings, carts, drifts)
                await watch(client, settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--expired", type=int, default=10_000)
    parser.add_argument("--carts", type=int, default=100_000)
    parser.add_argument("--drifts", type=int, default=100)
    options = parser.parse_args()
    asyncio.run(main(options.expired, options.carts, options.drifts))
