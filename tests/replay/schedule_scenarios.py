"""Scenarios of scheduled workflows and of the doctor's ping."""

from datetime import timedelta
from uuid import uuid4

from models.errors import DependencyUnavailable
from models.upkeep.passes import PassInput
from tests.replay.common import Run, Scenario
from tests.support.carts import leave_alone, plant_cart
from tests.support.relays import RelayBench
from tests.workflows.conftest import Bench
from workflows.ping import PingWorkflow
from workflows.upkeep.abandonment import AbandonmentWorkflow
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.figures import FiguresWorkflow
from workflows.upkeep.sweep import SweepWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow


async def sweep(bench: Bench, relays: RelayBench) -> Run:
    return await bench.shop.world.temporal.start_workflow(
        SweepWorkflow.run, id=f"sweep-{uuid4()}", task_queue=bench.task_queue
    )


async def expiry_of_two_carts(bench: Bench, relays: RelayBench) -> Run:
    for user_id in ("user-1", "user-2"):
        await plant_cart(bench.shop, user_id, {"headphones": 1}, expires_in=timedelta(days=-1))
    return await bench.shop.world.temporal.start_workflow(
        ExpiryWorkflow.run, PassInput(), id=f"expiry-{uuid4()}", task_queue=bench.task_queue
    )


async def abandonment_of_two_carts(bench: Bench, relays: RelayBench) -> Run:
    for user_id in ("user-1", "user-2"):
        await plant_cart(bench.shop, user_id, {"headphones": 1})
        await leave_alone(bench.shop, user_id)
    return await bench.shop.world.temporal.start_workflow(
        AbandonmentWorkflow.run, PassInput(), id=f"abandon-{uuid4()}", task_queue=bench.task_queue
    )


async def figures(bench: Bench, relays: RelayBench) -> Run:
    return await bench.shop.world.temporal.start_workflow(
        FiguresWorkflow.run, id=f"figures-{uuid4()}", task_queue=bench.task_queue
    )


async def watch_of_holds(bench: Bench, relays: RelayBench) -> Run:
    return await bench.shop.world.temporal.start_workflow(
        WatchHoldsWorkflow.run, id=f"watch-{uuid4()}", task_queue=bench.task_queue
    )


async def watch_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    await plant_cart(bench.shop, "user-1", {"headphones": 1})
    bench.faults.fail("reservations", "before", DependencyUnavailable("inventory"), times=1000)
    return await watch_of_holds(bench, relays)


async def ping(bench: Bench, relays: RelayBench) -> Run:
    return await bench.shop.world.temporal.start_workflow(
        PingWorkflow.run, id=f"ping-{uuid4()}", task_queue=bench.task_queue
    )


SCENARIOS: tuple[Scenario, ...] = (
    sweep,
    expiry_of_two_carts,
    abandonment_of_two_carts,
    figures,
    watch_of_holds,
    watch_without_inventory,
    ping,
)
