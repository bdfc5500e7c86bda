"""The worker process: runs workflows and their activities.

`python worker.py`. On SIGTERM or SIGINT it finishes the running tasks, for at most `DRAIN_SECONDS`.
Another worker continues the others.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import TypedDict

import structlog
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

from activities.cache import CacheActivities
from activities.carts import CartActivities
from activities.events import EventActivities
from activities.inventory import InventoryActivities
from activities.privacy import PrivacyActivities
from activities.relay import RelayActivities
from activities.scans import ScanActivities
from activities.upkeep.figures import FigureActivities
from activities.upkeep.passes import CartPasses
from activities.upkeep.reconcile import ReconcileActivities
from activities.upkeep.repair import RepairActivities
from activities.upkeep.watch import MOST_STOPPED, WatchActivities
from activities.waking import RelayWaker
from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.keyring import Keyring
from adapters.mongo.batches import CartBatches
from adapters.mongo.cart_scans import CartScans
from adapters.mongo.carts import CartStore
from adapters.mongo.figures import FigureStore
from adapters.mongo.findings import FindingStore
from adapters.mongo.gauges import showing_stored
from adapters.mongo.intake import IntakeHolds
from adapters.mongo.operations import OperationStore
from adapters.mongo.outbox import Outbox
from adapters.mongo.privacy import PersonalData
from adapters.mongo.reconcile import CartBooks
from adapters.mongo.reports import reporting
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.store_settings import StoreSettingsStore
from adapters.mongo.stores import StoreRegistry
from adapters.mongo.watch import WatchStore
from adapters.redis.cart_cache import CartCache
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import RateLimiter
from adapters.redis.stock_cache import StockCache
from adapters.setup_gauges import showing_setup
from heartbeat import beating
from models.errors import DependencyRefuses, DependencyUnavailable
from process import run_process, stop_event
from settings import Settings
from telemetry.tracing import tracing
from workflows.add_item import AddItemWorkflow
from workflows.apply_batch import ApplyBatchWorkflow
from workflows.apply_order import ApplyOrderWorkflow
from workflows.audit import AuditWorkflow
from workflows.cancel_checkout import CancelCheckoutWorkflow
from workflows.cancel_order import CancelOrderWorkflow
from workflows.checkout import CheckoutWorkflow
from workflows.clear_cart import ClearCartWorkflow
from workflows.connection import check_namespace, connect
from workflows.event_operations import mark_cart
from workflows.extend_holds import ExtendHoldsWorkflow
from workflows.gateway import CartGateway
from workflows.histories import Histories
from workflows.mark_availability import MarkAvailabilityWorkflow
from workflows.mark_product import MarkProductWorkflow
from workflows.merge_cart import MergeCartWorkflow
from workflows.pause_gauges import showing_pauses
from workflows.ping import PingWorkflow
from workflows.privacy import ErasePersonalDataWorkflow
from workflows.relay import RelayWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.repair_cart import RepairCartWorkflow
from workflows.requests import policy_of
from workflows.stopped_sagas import stopped_sagas
from workflows.update_quantity import UpdateQuantityWorkflow
from workflows.upkeep.abandonment import AbandonmentWorkflow
from workflows.upkeep.checkouts import EndCheckoutsWorkflow
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.figures import FiguresWorkflow
from workflows.upkeep.holds import EndHoldsWorkflow
from workflows.upkeep.operations import (
    abandonment_of,
    erase_cart,
    expiry_of,
    lapse_of,
    repair_cart,
    thaw_of,
)
from workflows.upkeep.reconcile import ReconcileWorkflow
from workflows.upkeep.schedules import ensure_schedules
from workflows.upkeep.sweep import SweepWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow

logger = structlog.stdlib.get_logger("worker")

DRAIN_SECONDS = 10
STICKY_SECONDS = 5
WORKFLOWS = (
    AddItemWorkflow,
    UpdateQuantityWorkflow,
    RemoveItemWorkflow,
    ClearCartWorkflow,
    ApplyBatchWorkflow,
    ExtendHoldsWorkflow,
    CheckoutWorkflow,
    CancelCheckoutWorkflow,
    CancelOrderWorkflow,
    ApplyOrderWorkflow,
    MergeCartWorkflow,
    RepairCartWorkflow,
    MarkAvailabilityWorkflow,
    MarkProductWorkflow,
    RelayWorkflow,
    SweepWorkflow,
    ExpiryWorkflow,
    AbandonmentWorkflow,
    EndHoldsWorkflow,
    EndCheckoutsWorkflow,
    FiguresWorkflow,
    ReconcileWorkflow,
    WatchHoldsWorkflow,
    ErasePersonalDataWorkflow,
    AuditWorkflow,
    PingWorkflow,
)

# Modules that are not imported again for each workflow in the sandbox. They only handle data, and
# importing them takes longer than a workflow.
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


class WorkflowOptions(TypedDict):
    """How a worker runs workflow code."""

    workflow_runner: WorkflowRunner
    debug_mode: bool
    max_workflow_task_external_storage_concurrency: int


def workflow_options(*, sandboxed: bool = False) -> WorkflowOptions:
    """How workflow code runs: checked in the tests, cheaply in the service (docs/performance.md).

    The sandbox prevents access to clocks, random numbers and I/O, and takes a fifth of the worker's
    time for an operation.

    In `debug_mode` the SDK runs workflow code in the event loop. Otherwise it hands each activation
    to a thread, to detect code that runs for more than 2 s without waiting. Here such code stops
    the event loop, and with it the heartbeat (`heartbeat.py`) by which a supervisor sees that.

    No payload is stored outside of Temporal. With a concurrency of more than 1 the SDK would start
    a task for each payload to look for such.
    """
    if sandboxed:
        restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
        runner: WorkflowRunner = SandboxedWorkflowRunner(restrictions=restrictions)
    else:
        runner = UnsandboxedWorkflowRunner()
    return {
        "workflow_runner": runner,
        "debug_mode": not sandboxed,
        "max_workflow_task_external_storage_concurrency": 1,
    }


def deployment_of(settings: Settings) -> WorkerDeploymentConfig | None:
    """The version of this worker; None without versioning, when any worker takes any run.

    Runs stay on the version that started them: a saga ends in seconds, a scheduled run in minutes.
    A relay may never end, so it continues as new on the current version.
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
    operations: OperationStore,
    inventory: InventoryClient,
    cache: CartCache,
    stock: StockCache,
    events: EventPublisher,
    outbox: Outbox,
    gateway: CartGateway,
    keyring: Keyring,
    limiter: RateLimiter,
    policies: StorePolicies,
    sandboxed: bool = False,
) -> Worker:
    """The worker with all activities. The only place where activities get their adapters."""
    cart_steps = CartActivities(operations)
    inventory_steps = InventoryActivities(inventory, operations, outbox, stock, StoreRegistry())
    cache_steps = CacheActivities(cache, operations, keyring)
    event_steps = EventActivities(events, operations, outbox)
    shards = settings.relay_shards
    waker = RelayWaker(partial(gateway.wake_relay, shards=shards), shards=shards)
    relay_steps = RelayActivities(
        outbox,
        events,
        inventory,
        stock,
        waker,
    )
    scans = CartScans()
    passes = CartPasses(
        scans,
        CartBatches(carts.client),
        cache,
        policies,
        expire=expiry_of,
        lapse=lapse_of,
        thaw=thaw_of,
        abandon=abandonment_of,
        waker=waker,
        caching=settings.enable_cache_invalidation,
    )
    books = CartBooks()
    repair_steps = RepairActivities(carts, books, inventory, cache)
    comparing = partial(
        ReconcileActivities,
        operations,
        books,
        inventory,
        cache,
        FindingStore(),
        repair=partial(repair_cart, gateway, policies),
        reserving=policies.reserves,
    )
    reconcile_steps = comparing(caching=settings.enable_cache_invalidation)
    watch_steps = WatchActivities(
        WatchStore(),
        operations,
        comparing(caching=False),
        repair_steps,
        stopped=partial(stopped_sagas, client, limit=MOST_STOPPED),
        reserving=policies.reserves,
        orphan_seconds=settings.orphan_release_seconds,
    )
    figure_steps = FigureActivities(FigureStore())
    privacy_steps = PrivacyActivities(
        PersonalData(),
        cache,
        limiter,
        Histories(client),
        keyring,
        clear=partial(erase_cart, gateway, policies),
    )
    scan_steps = ScanActivities(scans, mark=partial(mark_cart, gateway))
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=list(WORKFLOWS),
        activities=[
            cart_steps.load_cart,
            cart_steps.persist_cart,
            cart_steps.settle_operation,
            cart_steps.claim_cart,
            cart_steps.unclaim_cart,
            inventory_steps.reserve_inventory,
            inventory_steps.transfer_inventory,
            inventory_steps.release_inventory,
            cache_steps.refresh_cache,
            cache_steps.reply_to_caller,
            event_steps.publish_event,
            relay_steps.wake_relay,
            relay_steps.wake_waiting,
            relay_steps.deliver,
            relay_steps.skip,
            passes.expire_page,
            passes.lapse_page,
            passes.thaw_page,
            passes.abandon_page,
            figure_steps.measure,
            repair_steps.examine,
            repair_steps.forget,
            reconcile_steps.reconcile_page,
            watch_steps.watch,
            scan_steps.mark_page,
            privacy_steps.erase_carts,
            privacy_steps.count,
            privacy_steps.erase_histories,
            privacy_steps.erase_records,
            privacy_steps.erase_cached,
        ],
        **workflow_options(sandboxed=sandboxed),
        deployment_config=deployment_of(settings),
        # After this time the next task of a relay goes to another worker, if its own has died.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=STICKY_SECONDS),
        graceful_shutdown_timeout=timedelta(seconds=DRAIN_SECONDS),
    )


async def run(settings: Settings) -> None:
    """Runs until a signal. Waits for systems that are unavailable."""
    stopping = stop_event()
    workflow.logger.workflow_info_on_message = False  # the line has it as fields
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing(settings, "worker"))
        carts = await CartStore.connect(settings.mongodb, app_name="cart-worker")
        stack.push_async_callback(carts.close)
        inventory = InventoryClient.of(settings)
        stack.push_async_callback(inventory.close)
        keyring = Keyring(settings.secrets_of_data)
        redis = RedisPool(settings.redis)
        stack.push_async_callback(redis.close)
        log_levels = LogLevels(redis, keyring, usual=settings.log_level)
        await stack.enter_async_context(log_levels.following())
        events = EventPublisher(settings)
        stack.push_async_callback(events.close)
        warming = asyncio.create_task(events.warm_up())
        client = await _connect(settings, stopping)
        if client is None:
            return
        policies = StorePolicies(policy_of(settings), StoreSettingsStore().read_all)
        stack.push_async_callback(policies.close)
        gateway = CartGateway(
            client,
            task_queue=settings.temporal_task_queue,
            lock_wait_seconds=settings.cart_lock_wait_seconds,
        )
        worker = build_worker(
            client,
            settings,
            carts=carts,
            operations=OperationStore(
                carts.client, keyring, grace_seconds=settings.relay_grace_seconds
            ),
            inventory=inventory,
            cache=CartCache(redis, keyring, ttl_seconds=settings.cart_cache_ttl),
            stock=StockCache(redis, keyring, ttl_seconds=settings.inventory_cache_ttl),
            events=events,
            outbox=Outbox(),
            gateway=gateway,
            keyring=keyring,
            limiter=RateLimiter(redis),
            policies=policies,
        )
        async with worker:
            await warming
            await ensure_schedules(
                client,
                task_queue=settings.temporal_task_queue,
                repairs=settings.reconcile_repairs,
            )
            logger.info("worker_started", message="Worker started")
            if settings.enable_metrics:
                showing = showing_stored(FigureStore(), Outbox(), WatchStore())
                await stack.enter_async_context(showing)
                await stack.enter_async_context(showing_setup(settings, carts.client))
                await stack.enter_async_context(showing_pauses(client, IntakeHolds()))
            watched = (*inventory.breakers, events.breaker, redis.breaker, gateway.breaker)
            await stack.enter_async_context(reporting("worker", watched))
            async with beating(settings.heartbeat_file):
                await stopping.wait()
            logger.info("worker_draining", message="Worker is draining")
    logger.info("worker_stopped", message="Worker stopped")


async def _connect(settings: Settings, stopping: asyncio.Event) -> Client | None:
    """Connects to Temporal, however long it takes; None when `stopping` is set before."""
    logged = ""
    while not stopping.is_set():
        try:
            client = await connect(settings)
            await check_namespace(client)
        except DependencyUnavailable as error:
            if error.detail != logged:
                logged = error.detail
                refused = isinstance(error, DependencyRefuses)
                logger.warning(
                    "dependency_refuses" if refused else "dependency_unavailable",
                    message="Temporal refuses this client"
                    if refused
                    else "Temporal is unavailable",
                    dependency="temporal",
                    reason=error.detail,
                )
            try:
                async with asyncio.timeout(1):
                    await stopping.wait()
            except TimeoutError:
                continue
        else:
            return client
    return None


def main() -> int:
    """Returns the exit code: 0, or 2 for invalid settings."""
    return run_process("worker", run)


if __name__ == "__main__":
    sys.exit(main())
