"""What the scenarios of recorded histories have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import WorkflowHandle

from models.errors import DependencyUnavailable
from tests.support.relays import RelayBench
from tests.support.shop import Buyer
from tests.workflows.conftest import Bench
from workflows import ids

FOR_EVER = 1000
KAFKA_IS_DOWN = DependencyUnavailable("kafka")
INVENTORY_IS_DOWN = DependencyUnavailable("inventory")

Run = WorkflowHandle[Any, Any]
Scenario = Callable[[Bench, RelayBench], Awaitable[Run]]
"""Runs a workflow of its own to its end; answers its handle."""
Start = Callable[..., Awaitable[Run]]
"""Starts a saga; `deadline_seconds` is an option."""


def buyer(relays: RelayBench) -> Buyer:
    """Whose cart is in the shard of the bench's relays."""
    return Buyer(relays.shop, relays.user(0), {})


async def ended(handle: Run) -> None:
    """Waits for its end, whatever that is."""
    await asyncio.gather(handle.result(), return_exceptions=True)


async def past_its_deadline(bench: Bench, start: Start) -> Run:
    """Its pivot takes too long."""
    _, go_on = bench.faults.hold("commit")
    handle = await start(deadline_seconds=0.5)
    await handle.result()
    go_on.set()
    return handle


async def aborted(bench: Bench, start: Start) -> Run:
    """An operator undoes it before its pivot."""
    arrived, go_on = bench.faults.hold("commit")
    handle = await start()
    await arrived.wait()
    await handle.signal(ids.ABORT, "an operator says so")
    await handle.result()
    go_on.set()
    return handle


async def cancelled(bench: Bench, start: Start) -> Run:
    """It is cancelled before its pivot."""
    arrived, go_on = bench.faults.hold("commit")
    handle = await start()
    await arrived.wait()
    await handle.cancel()
    await ended(handle)
    go_on.set()
    return handle
