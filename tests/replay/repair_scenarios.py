"""Scenarios of reconciling and of the repair of a cart."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from models.operations import RepairCart
from models.upkeep.reconcile import ReconcileInput
from tests.replay.common import Run, Scenario, buyer
from tests.support.carts import cache_cart, hold, plant_cart, release
from tests.support.relays import RelayBench
from tests.support.shop import Buyer
from tests.workflows.conftest import Bench
from workflows.repair_cart import RepairCartWorkflow
from workflows.upkeep.reconcile import ReconcileWorkflow


async def reconcile_repairing(bench: Bench, relays: RelayBench) -> Run:
    await plant_cart(bench.shop, "user-1", {"headphones": 1}, held=False)
    request = ReconcileInput(store_id=bench.shop.store_id, fix=True)
    return await bench.shop.world.temporal.start_workflow(
        ReconcileWorkflow.run, request, id=f"reconcile-{uuid4()}", task_queue=bench.task_queue
    )


async def repair_of_holds_and_cache(bench: Bench, relays: RelayBench) -> Run:
    shopper = buyer(relays)
    await bench.shop.stock("lamp", 10)
    await bench.add(shopper)
    await hold(bench.shop, shopper.user_id, "lamp", 2)
    await release(bench.shop, shopper.user_id, "headphones", 1)
    await cache_cart(bench.shop, shopper.user_id, version=9, body=b"{}")
    return await look_at(bench, shopper, fix=True)


async def repair_dry_run(bench: Bench, relays: RelayBench) -> Run:
    shopper = buyer(relays)
    await hold(bench.shop, shopper.user_id, "headphones", 2)
    return await look_at(bench, shopper, fix=False)


async def look_at(bench: Bench, shopper: Buyer, *, fix: bool) -> Run:
    """Starts the repair of a cart."""
    request = RepairCart(
        **bench.common(shopper, "repair"),
        reason="for a recording",
        fix=fix,
        stuck_before=datetime.now(UTC) - timedelta(minutes=5),
    )
    return await bench.run(RepairCartWorkflow.run, shopper, request)


SCENARIOS: tuple[Scenario, ...] = (
    reconcile_repairing,
    repair_of_holds_and_cache,
    repair_dry_run,
)
