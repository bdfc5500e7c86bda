"""Memory and rate of a worker whose relays work off the effects of the largest carts.

`python -m dev.bench.relays [--carts 400] [--lines 100] [--per-cart 1]`

Records are written directly to MongoDB as expiry would: each releases every line of a cart, and
publishes that it was cleared. A relay reads the effects of a record and not the cart or the answer,
so what counts is the number of effects. The inventory accepts releases of what it never reserved.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from beanie import PydanticObjectId

from adapters.mongo.cart_scans import CartRef
from adapters.mongo.operations import committed_record
from dev.bench.data import new_cart, user_of
from dev.bench.rig import local_stack
from dev.stack.stack import Stack
from models.cart import CartKey
from models.documents import OperationRecord
from models.limits import Policy
from models.operations import ChangeContext
from models.outcomes import StoredAnswer
from models.runners import Share
from models.upkeep.passes import PassPage
from workflows.requests import policy_of
from workflows.upkeep.operations import expiry_of

STORE = "relays"
BATCH = 200
SAMPLE_SECONDS = 0.5
SHOWN_SECONDS = 10.0
LONGEST_ID = 64


def record(policy: Policy, number: int, lines: int) -> OperationRecord:
    """The record of a cleared cart with so many lines, all of whose effects are pending."""
    now = datetime.now(UTC)
    key = CartKey(STORE, user_of(number))
    page = PassPage(before=now, at=now, share=Share(runner=0, runners=1), left=(), limit=1)
    cart_id = str(PydanticObjectId())
    saga, operation, _ = expiry_of(policy, CartRef(cart_id, key), page, "bench")
    products = [f"product-{line:04}".ljust(LONGEST_ID, "x") for line in range(lines)]
    change = operation.apply(
        new_cart(*key, products).model_copy(update={"expire_at": now}),
        ChangeContext(saga, cart_id, publish=True),
    )
    if change is None:
        raise AssertionError("the cart has expired")
    answer = StoredAnswer(status=change.status, body=change.body.decode())
    return committed_record(saga, cart_id, change, answer, [])


async def plant(policy: Policy, carts: int, lines: int, per_cart: int) -> None:
    """Stores the records, `per_cart` for each cart."""
    for first in range(0, carts, BATCH):
        numbers = range(first, min(first + BATCH, carts))
        for _ in range(per_cart):
            await OperationRecord.insert_many([record(policy, one, lines) for one in numbers])


class Memory:
    """The resident memory of a process, in MiB, over time."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._began = time.monotonic()
        self.samples: list[tuple[float, float]] = []

    def read(self) -> float:
        text = self._status.read_text().partition("VmRSS:")[2]
        return int(text.split()[0]) / 1024

    async def sample(self) -> None:
        """Samples until cancelled."""
        while True:
            self.samples.append((time.monotonic() - self._began, self.read()))
            await asyncio.sleep(SAMPLE_SECONDS)

    def curve(self) -> str:
        """The highest sample of each `SHOWN_SECONDS`."""
        highest: dict[int, float] = {}
        for at, size in self.samples:
            part = int(at // SHOWN_SECONDS)
            highest[part] = max(size, highest.get(part, 0))
        return " ".join(f"{size:.0f}" for size in highest.values())


@contextmanager
def sampled(memory: Memory) -> Iterator[None]:
    task = asyncio.create_task(memory.sample())
    try:
        yield
    finally:
        task.cancel()


async def work_off(stack: Stack, effects: int) -> None:
    """Waits until nothing is pending, and prints the memory of the worker meanwhile."""
    memory = Memory(stack.process("worker").pid)
    before = memory.read()
    with sampled(memory):
        begin = None
        pending = {"storeId": STORE, "pending": True}
        while await OperationRecord.find_one(pending):
            done = {"storeId": STORE, "effects.doneAt": {"$ne": None}}
            if begin is None and await OperationRecord.find_one(done):
                begin = time.monotonic()
            await asyncio.sleep(SAMPLE_SECONDS)
    took = time.monotonic() - (begin or time.monotonic())
    peak = max(size for _, size in memory.samples)
    print(f"{effects} effects in {took:.0f} s: {effects / max(took, 1):.0f} a second")
    print(f"    worker: {before:.0f} MiB before, {peak:.0f} MiB at most")
    print(f"    the highest of each {SHOWN_SECONDS:.0f} s: {memory.curve()}")


async def main(carts: int, lines: int, per_cart: int) -> None:
    """Plants, and lets a worker work off what is pending."""
    async with local_stack() as stack:
        stack.pause("worker")
        await plant(policy_of(stack.settings), carts, lines, per_cart)
        stats = await OperationRecord.get_pymongo_collection().database.command(
            "collStats", "operations"
        )
        print(f"{carts * per_cart} records of {stats['avgObjSize'] / 1024:.0f} KiB")
        stack.resume("worker")
        await work_off(stack, carts * per_cart * (lines + 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--carts", type=int, default=400)
    parser.add_argument("--lines", type=int, default=100)
    parser.add_argument("--per-cart", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(main(options.carts, options.lines, options.per_cart))
