"""Scenarios of batches."""

from typing import Any

from models.batch import BatchStep
from models.operations import ApplyBatch
from tests.replay.common import (
    INVENTORY_IS_DOWN,
    Run,
    buyer,
)
from tests.support.batches import add, put, remove
from tests.support.call_faults import FOR_EVER
from tests.support.relays import RelayBench
from tests.workflows.conftest import Bench
from workflows.apply_batch import ApplyBatchWorkflow


async def _start(
    bench: Bench, relays: RelayBench, *steps: BatchStep, mode: str = "all_or_nothing"
) -> Run:
    """Starts a batch on a cart of two headphones, in a shop with five lamps."""
    shopper = buyer(relays)
    await bench.shop.stock("lamp", 5)
    await bench.add(shopper)
    fields: dict[str, Any] = {"steps": steps, "mode": mode}
    batch = ApplyBatch.model_validate(bench.common(shopper, "batch") | fields)
    return await bench.run(ApplyBatchWorkflow.run, shopper, batch)


async def batch_committed(bench: Bench, relays: RelayBench) -> Run:
    return await _start(bench, relays, add("lamp", 2), remove("headphones"))


async def batch_that_changes_nothing(bench: Bench, relays: RelayBench) -> Run:
    return await _start(bench, relays, put("headphones", 2))


async def batch_rejected_for_stock(bench: Bench, relays: RelayBench) -> Run:
    return await _start(bench, relays, put("headphones", 3), add("lamp", 6))


async def batch_best_effort(bench: Bench, relays: RelayBench) -> Run:
    return await _start(
        bench, relays, add("lamp", 3), add("lamp", 3), put("headphones", 1), mode="best_effort"
    )


async def batch_undone_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=FOR_EVER)
    return await _start(bench, relays, add("lamp", 2))


SCENARIOS = (
    batch_committed,
    batch_that_changes_nothing,
    batch_rejected_for_stock,
    batch_best_effort,
    batch_undone_without_inventory,
)
