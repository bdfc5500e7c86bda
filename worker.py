"""The worker process: runs the cart's workflows and their steps.

`python worker.py`. Ends on SIGTERM or SIGINT after what is running has finished (at most
`DRAIN_SECONDS`); what does not finish goes on in another worker.
"""

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import (
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.carts import CartActivities
from activities.events import EventActivities
from activities.inventory import InventoryActivities
from activities.outbox import OutboxActivities
from activities.scans import ScanActivities
from activities.update import UpdateActivities
from activities.upkeep.expiry import ExpiryActivities
from activities.upkeep.figures import FigureActivities
from activities.upkeep.reconcile import ReconcileActivities
from activities.upkeep.repair import RepairActivities
from activities.upkeep.watch import WatchActivities
from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.cart_scans import CartScans
from adapters.mongo.carts import CartStore
from adapters.mongo.expiry import ExpiredCarts
from adapters.mongo.figures import FigureStore
from adapters.mongo.gauges import showing_stored
from adapters.mongo.outbox import Outbox
from adapters.mongo.reconcile import CartBooks
from adapters.mongo.watch import WatchStore
from adapters.redis.cart_cache import CartCache
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from adapters.redis.stock_cache import StockCache
from heartbeat import beating
from process import run_process, told_to_stop
from settings import Settings
from telemetry.tracing import tracing
from workflows.add_item import AddItemWorkflow
from workflows.clear_cart import ClearCartWorkflow
from workflows.event_operations import mark_cart
from workflows.gateway import CartGateway, connect, policy_of
from workflows.mark_availability import MarkAvailabilityWorkflow
from workflows.mark_product import MarkProductWorkflow
from workflows.ping import PingWorkflow
from workflows.relay import RelayWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.repair_cart import RepairCartWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.figures import FiguresWorkflow
from workflows.upkeep.operations import expire_cart, repair_cart
from workflows.upkeep.reconcile import ReconcileWorkflow
from workflows.upkeep.schedules import ensure_schedules
from workflows.upkeep.sweep import SweepWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow

logger = logging.getLogger("worker")

DRAIN_SECONDS = 10
STICKY_SECONDS = 5
WORKFLOWS = (
    AddItemWorkflow,
    UpdateQuantityWorkflow,
    RemoveItemWorkflow,
    ClearCartWorkflow,
    RepairCartWorkflow,
    MarkAvailabilityWorkflow,
    MarkProductWorkflow,
    RelayWorkflow,
    SweepWorkflow,
    ExpiryWorkflow,
    FiguresWorkflow,
    ReconcileWorkflow,
    WatchHoldsWorkflow,
    PingWorkflow,
)

# What workflow modules import beside their own code is pure data handling: re-importing it for
# every workflow would cost more than the workflow does.
PASSED_THROUGH = (
    "activities",
    "adapters",
    "models",
    "opentelemetry",
    "pydantic",
    "structlog",
    "telemetry",
    "workflows.ids",
    "workflows.policies",
)


def workflow_runner(*, sandboxed: bool = False) -> WorkflowRunner:
    """What runs workflow code.

    The sandbox keeps it from clocks, random numbers and input or output, and costs a fifth of what
    the worker does for an operation. So the tests run in it, and the service does not.
    """
    if not sandboxed:
        return UnsandboxedWorkflowRunner()
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    )


def deployment_of(settings: Settings) -> WorkerDeploymentConfig | None:
    """Which version of the worker this is; None when any worker takes any run.

    All runs stay with the version that began them: a saga is over in a moment, a scheduled run in
    minutes. The relay, which may never end, continues as new on the version that is current.
    """
    if settings.temporal_worker_build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(
            deployment_name=settings.temporal_deployment_name,
            build_id=settings.temporal_worker_build_id,
        ),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


def build_worker(
    client: Client,
    settings: Settings,
    *,
    carts: CartStore,
    inventory: InventoryClient,
    cache: CartCache,
    stock: StockCache,
    events: EventPublisher,
    outbox: Outbox,
    gateway: CartGateway,
    sandboxed: bool = False,
) -> Worker:
    """The only place where activities meet their adapters."""
    event_steps = EventActivities(events, outbox)
    cart_steps = CartActivities(carts, cache, event_steps)
    inventory_steps = InventoryActivities(inventory, outbox, stock)
    update_steps = UpdateActivities(carts, inventory_steps)
    outbox_steps = OutboxActivities(
        outbox,
        events,
        inventory,
        stock,
        wake=partial(gateway.wake_relay, shards=settings.relay_shards),
        shards=settings.relay_shards,
        grace_seconds=settings.relay_grace_seconds,
    )
    expiry_steps = ExpiryActivities(
        ExpiredCarts(), expire=partial(expire_cart, gateway, policy_of(settings))
    )
    books = CartBooks()
    repair_steps = RepairActivities(carts, books, inventory, cache)
    reserving = settings.enable_inventory_reservation
    comparing = partial(
        ReconcileActivities,
        carts,
        books,
        inventory,
        cache,
        repair=partial(repair_cart, gateway, policy_of(settings)),
        reserving=reserving,
    )
    reconcile_steps = comparing(caching=settings.enable_cache_invalidation)
    watch_steps = WatchActivities(
        WatchStore(), comparing(caching=False), repair_steps, reserving=reserving
    )
    figure_steps = FigureActivities(FigureStore())
    scan_steps = ScanActivities(CartScans(), mark=partial(mark_cart, gateway))
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=list(WORKFLOWS),
        activities=[
            cart_steps.load,
            cart_steps.commit,
            cart_steps.show,
            cart_steps.settle,
            cart_steps.answer,
            outbox_steps.wake,
            outbox_steps.wake_waiting,
            outbox_steps.deliver,
            outbox_steps.skip,
            inventory_steps.reserve,
            inventory_steps.release,
            update_steps.load_and_reserve,
            event_steps.publish,
            expiry_steps.expire_page,
            figure_steps.measure,
            repair_steps.examine,
            repair_steps.forget,
            reconcile_steps.scan,
            reconcile_steps.look_again,
            watch_steps.watch,
            scan_steps.find_ordered,
            scan_steps.mark_page,
        ],
        workflow_runner=workflow_runner(sandboxed=sandboxed),
        deployment_config=deployment_of(settings),
        # How long a relay's next task waits for a worker that has died, before another may have it.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=STICKY_SECONDS),
        graceful_shutdown_timeout=timedelta(seconds=DRAIN_SECONDS),
    )


async def run(settings: Settings) -> None:
    """Runs until a signal ends it."""
    stopping = told_to_stop()
    workflow.logger.workflow_info_on_message = False  # it stands in the line's fields
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing(settings, "worker"))
        carts = await CartStore.connect(settings.mongodb, app_name="cart-worker")
        stack.push_async_callback(carts.close)
        inventory = InventoryClient(
            settings.inventory, timeout_seconds=settings.inventory_timeout_seconds
        )
        stack.push_async_callback(inventory.close)
        redis = RedisPool(settings.redis)
        stack.push_async_callback(redis.close)
        log_levels = LogLevels(redis, usual=settings.log_level)
        log_levels.open()
        stack.push_async_callback(log_levels.close)
        events = EventPublisher(settings)
        stack.push_async_callback(events.close)
        warming = asyncio.create_task(events.warm_up())
        client = await _connect(settings, stopping)
        if client is None:
            return
        worker = build_worker(
            client,
            settings,
            carts=carts,
            inventory=inventory,
            cache=CartCache(redis, ttl_seconds=settings.cart_cache_ttl),
            stock=StockCache(redis, ttl_seconds=settings.inventory_cache_ttl),
            events=events,
            outbox=Outbox(),
            gateway=CartGateway(
                client,
                task_queue=settings.temporal_task_queue,
                lock_wait_seconds=settings.cart_lock_wait_seconds,
            ),
        )
        async with worker:
            await warming
            await ensure_schedules(client, task_queue=settings.temporal_task_queue)
            logger.info("Worker started", extra={"event": "worker_started"})
            if settings.enable_metrics:
                await stack.enter_async_context(
                    showing_stored(FigureStore(), Outbox(), WatchStore())
                )
            async with beating(settings.heartbeat_file):
                await stopping.wait()
            logger.info("Worker is draining", extra={"event": "worker_draining"})
    logger.info("Worker stopped", extra={"event": "worker_stopped"})


async def _connect(settings: Settings, stopping: asyncio.Event) -> Client | None:
    """Connects to Temporal, for as long as it takes; None when told to stop meanwhile."""
    while not stopping.is_set():
        try:
            return await connect(settings)
        except RuntimeError as error:
            logger.warning(
                "Temporal is unavailable: %s",
                error,
                extra={"event": "dependency_unavailable", "dependency": "temporal"},
            )
            try:
                async with asyncio.timeout(1):
                    await stopping.wait()
            except TimeoutError:
                continue
    return None


def main() -> int:
    """Exit code 2 when the settings cannot be used."""
    return run_process("worker", run)


if __name__ == "__main__":
    sys.exit(main())
