"""What happens in the demo without a request: events, expiry, the end of holds, a repair."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from temporalio.client import ScheduleActionExecutionStartWorkflow, ScheduleHandle
from temporalio.service import RPCError

from adapters.kafka.publisher import EventPublisher, Outgoing
from adapters.mongo.findings import FindingStore
from dev.demo.session import NoAnswer
from models.documents import Cart
from models.errors import DependencyUnavailable, EffectRefused
from models.upkeep.reconcile import ReconcileInput
from ops.connections import Connections, open_connections
from ops.errors import OpsError
from ops.words import reason
from settings import Settings
from workflows import ids

START_SECONDS = 60.0
PAUSE_SECONDS = 0.5


async def publish_event(settings: Settings, topic: str, event: dict[str, Any]) -> None:
    """Publishes an event as another service does; raises `NoAnswer`."""
    publisher = EventPublisher(settings)
    key = str(event.get("cartId") or event["productId"])
    message = Outgoing(key, topic, key.encode(), orjson.dumps(event), headers=())
    try:
        await publisher.warm_up()
        await publisher.send([message])
    except (DependencyUnavailable, EffectRefused) as error:
        raise NoAnswer(f"Kafka: {reason(error)}") from error
    finally:
        await publisher.close()


async def expire_cart(settings: Settings, store: str, user: str) -> str:
    """Sets the expiry of a user's cart to now and triggers the expiry schedule; the page of the
    run."""
    async with _connections(settings) as desk:
        await Cart.find_one({"storeId": store, "userId": user}).update(
            {"$set": {"expireAt": datetime.now(UTC)}}
        )
        return await _triggered(desk, ids.EXPIRY_SCHEDULE)


async def end_holds(settings: Settings, store: str, user: str) -> str:
    """Sets the end of the holds of a user's cart to now and triggers their schedule; the page of
    the run."""
    async with _connections(settings) as desk:
        await Cart.find_one({"storeId": store, "userId": user}).update(
            {"$set": {"holdsEnd": datetime.now(UTC)}}
        )
        return await _triggered(desk, ids.HOLDS_SCHEDULE)


async def repair(settings: Settings, store: str) -> tuple[list[dict[str, Any]], str]:
    """Repairs the carts of a store: (findings, the page of the run)."""
    async with _connections(settings) as desk:
        run = await desk.gateway.reconcile(ReconcileInput(store_id=store, fix=True))
        await run.result()
        found = [
            finding.drift.model_dump(mode="json", include={"kind", "product_id", "detail", "done"})
            for finding in await FindingStore().of_run(run.first_execution_run_id or "")
        ]
        return found, desk.pages.workflow(run.id, run.first_execution_run_id)


async def _triggered(desk: Connections, schedule_id: str) -> str:
    """Triggers a schedule; the page of the run that has started.

    A trigger has no effect while a run of the schedule is open, so it is repeated.
    """
    schedule = desk.temporal.get_schedule_handle(schedule_id)
    before = await _latest(schedule)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        await schedule.trigger()
        await asyncio.sleep(PAUSE_SECONDS)
        run = await _latest(schedule)
        if run is not None and run != before:
            return desk.pages.workflow(*run)
    raise NoAnswer(f"schedule {schedule_id} has started no run")


async def _latest(schedule: ScheduleHandle) -> tuple[str, str] | None:
    """Workflow and run id of the latest run of a schedule."""
    actions = (await schedule.describe()).info.recent_actions
    started = [one.action for one in actions[-1:]]
    return next(
        (
            (action.workflow_id, action.first_execution_run_id)
            for action in started
            if isinstance(action, ScheduleActionExecutionStartWorkflow)
        ),
        None,
    )


@asynccontextmanager
async def _connections(settings: Settings) -> AsyncIterator[Connections]:
    """An operator's connections; raises `NoAnswer`."""
    try:
        async with open_connections(settings) as desk:
            yield desk
    except (OpsError, DependencyUnavailable, RPCError, RuntimeError) as error:
        raise NoAnswer(reason(error)) from error
