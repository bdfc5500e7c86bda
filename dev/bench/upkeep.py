"""Duration and memory of expiry, the end of holds, reconciling and the watch over many carts.

`python -m dev.bench.upkeep [--expired 10000] [--lapsed 10000] [--carts 100000] [--drifts 100]`

Carts and their reservations are written directly to MongoDB.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from temporalio.client import Client

from adapters.mongo.watch import WatchStore
from dev.bench.data import hold, plant, planted_products, user_of
from dev.bench.rig import local_stack
from dev.inventory_service.documents import Document
from dev.stack.stack import Stack
from models.documents import OperationRecord
from models.drift import DriftKind
from models.upkeep.findings import CartFindings
from models.upkeep.passes import PassInput
from models.upkeep.reconcile import ReconcileInput
from settings import Settings
from workflows import ids
from workflows.connection import connect
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.holds import EndHoldsWorkflow
from workflows.upkeep.reconcile import ReconcileWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow


@contextmanager
def measured(stack: Stack, what: str) -> Iterator[None]:
    """Prints how long a block takes, and the resident memory of worker and inventory."""
    folders = {name: Path(f"/proc/{stack.process(name).pid}") for name in ("worker", "inventory")}

    def memory(name: str, figure: str) -> str:
        status = (folders[name] / "status").read_text()
        return f"{int(status.partition(figure)[2].split()[0]) / 1024:.0f} MiB"

    for folder in folders.values():
        (folder / "clear_refs").write_text("5")  # resets the peak
    before = {name: memory(name, "VmRSS:") for name in folders}
    begin = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - begin:.0f} s")
    for name in folders:
        peak, after = memory(name, "VmHWM:"), memory(name, "VmRSS:")
        print(f"    {name}: {before[name]} before, {peak} at most, {after} after")


async def plant_drifts(settings: Settings, store: str, carts: int, count: int) -> None:
    """One third each: too much reserved, too little, and reserved without a cart."""
    async with AsyncMongoClient[Document](settings.mongodb.get_secret_value()) as client:
        actions = client["inventory"]["actions"]
        for number in range(count):
            cart = number * carts // count
            user, product = user_of(cart), planted_products(cart)[0]
            match number % 3:
                case 0:
                    await actions.insert_one(hold(store, user, product, 2))
                case 1:
                    await actions.delete_one({"_id": hold(store, user, product)["_id"]})
                case _:
                    await actions.insert_one(hold(store, f"{user}x", product))


async def expire(stack: Stack, client: Client, count: int) -> None:
    """One pass over carts that have all expired."""
    await client.get_schedule_handle(ids.EXPIRY_SCHEDULE).pause()  # to not share them
    await plant(stack.settings, "expired", count, datetime.now(UTC) - timedelta(hours=1))
    with measured(stack, f"expiry of {count} carts"):
        result = await run(stack, client, ExpiryWorkflow.run, PassInput())
    print(f"    {result.changed} carts cleared, {result.left} left")
    await _effects_done("expired")


async def lapse(stack: Stack, client: Client, count: int) -> None:
    """One pass over carts whose holds have all ended."""
    await client.get_schedule_handle(ids.HOLDS_SCHEDULE).pause()
    now = datetime.now(UTC)
    ended = now - timedelta(hours=1)
    await plant(stack.settings, "lapsed", count, now + timedelta(days=30), holdsEnd=ended)
    with measured(stack, f"end of the holds of {count} carts"):
        result = await run(stack, client, EndHoldsWorkflow.run, PassInput())
    print(f"    holds of {result.changed} carts ended, {result.left} left")
    await _effects_done("lapsed")


async def _effects_done(store: str) -> None:
    begin = time.monotonic()
    pending = {"storeId": store, "pending": True}
    while await OperationRecord.find_one(pending):  # noqa: ASYNC110 (of other processes)
        await asyncio.sleep(0.5)
    print(f"    all units released and events published {time.monotonic() - begin:.0f} s later")


async def reconcile(stack: Stack, client: Client, count: int, drifts: int) -> None:
    """A dry run over carts, some of which have drifted."""
    await plant(stack.settings, "many", count, datetime.now(UTC) + timedelta(days=30))
    await plant_drifts(stack.settings, "many", count, drifts)
    with measured(stack, f"reconciling of {count} carts"):
        report = await run(stack, client, ReconcileWorkflow.run, ReconcileInput(store_id="many"))
    found_in_store = CartFindings.find({"storeId": "many"})
    kinds = [drift.kind async for cart in found_in_store for drift in cart.drifts]
    found = ", ".join(f"{kinds.count(kind)} {kind}" for kind in DriftKind)
    print(f"    {report.carts} carts compared; {drifts} drifts planted, found: {found}")


async def watch(stack: Stack, client: Client) -> None:
    """Runs of the watch until it has passed over all carts."""
    took: list[float] = []
    store = WatchStore()
    while not took or ((known := await store.latest()) and known.position):
        begin = time.monotonic()
        await run(stack, client, WatchHoldsWorkflow.run)
        took.append(time.monotonic() - begin)
    runs = f"{len(took)} runs of {sum(took) / len(took):.1f} s, the longest {max(took):.1f} s"
    if known and known.whole:
        print(f"watch: {known.whole.carts} carts in {runs}: {len(known.drifts)} holds named")


async def run(stack: Stack, client: Client, workflow: Any, *inputs: Any) -> Any:
    """The result of a workflow."""
    return await client.execute_workflow(
        workflow, args=inputs, id="bench-upkeep", task_queue=stack.settings.temporal_task_queue
    )


async def main(expired: int, lapsed: int, carts: int, drifts: int) -> None:
    """Runs expiry and the end of holds, then reconciling and the watch."""
    async with local_stack() as stack:
        client = await connect(stack.settings)
        await client.get_schedule_handle(ids.WATCH_SCHEDULE).delete()  # runs are started below
        if expired:
            await expire(stack, client, expired)
        if lapsed:
            await lapse(stack, client, lapsed)
        if carts:
            await reconcile(stack, client, carts, drifts)
            await watch(stack, client)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--expired", type=int, default=10_000)
    parser.add_argument("--lapsed", type=int, default=10_000)
    parser.add_argument("--carts", type=int, default=100_000)
    parser.add_argument("--drifts", type=int, default=100)
    options = parser.parse_args()
    asyncio.run(main(options.expired, options.lapsed, options.carts, options.drifts))
