"""Gauges of what operators have paused: relays, and stores.

A worker reads this every `EVERY_SECONDS`, not on each scrape. All workers show the same values.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial

import structlog
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from adapters.background import repeating
from adapters.mongo.intake import IntakeHolds
from models.errors import DependencyUnavailable
from telemetry.metrics import PAUSE_AGE
from workflows.running_relays import relay_status, running_relays

logger = structlog.stdlib.get_logger(__name__)

EVERY_SECONDS = 15.0
_UNKNOWN = (DependencyUnavailable, RPCError, RuntimeError, WorkflowQueryFailedError)

Since = Callable[[], Awaitable[list[datetime]]]


def showing_pauses(client: Client, holds: IntakeHolds) -> AbstractAsyncContextManager[None]:
    """Keeps the gauges up to date while a block runs."""

    async def show() -> None:
        await show_pauses("relay", partial(_paused_relays, client))
        await show_pauses("store", partial(_paused_stores, holds))

    return repeating("gauges of pauses", show, every_seconds=EVERY_SECONDS)


async def show_pauses(kind: str, paused_since: Since) -> None:
    """Sets the age of the oldest pause of a kind; it has no sample while that is not known."""
    try:
        since = await paused_since()
    except _UNKNOWN as error:
        PAUSE_AGE.forget({"kind": kind})
        logger.debug("pauses_unknown", message="A gauge is not known", reason=str(error))
        return
    now = datetime.now(UTC)
    PAUSE_AGE.set(max(((now - one).total_seconds() for one in since), default=0), {"kind": kind})


async def _paused_stores(holds: IntakeHolds) -> list[datetime]:
    return [hold.at for hold in await holds.active()]


async def _paused_relays(client: Client) -> list[datetime]:
    """Since when relays are paused. One that has ended meanwhile is not."""
    relays = await running_relays(client)
    paused = [name for name, needs_attention in relays.items() if needs_attention]
    statuses = await asyncio.gather(*(_paused_since(client, name) for name in paused))
    return [since for since in statuses if since is not None]


async def _paused_since(client: Client, workflow_id: str) -> datetime | None:
    try:
        return (await relay_status(client, workflow_id)).paused_since
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
