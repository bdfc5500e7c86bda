"""What a worker shows of what MongoDB has: the figures of the business, what relays have to do,
and which holds no cart explains.

Read every few seconds, not with each scrape. Every worker shows the same.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from adapters.mongo.figures import FigureStore
from adapters.mongo.outbox import Outbox
from adapters.mongo.watch import WatchStore
from models.errors import DependencyUnavailable
from models.relays import RelayKind
from models.upkeep.watch import WATCHED
from telemetry.metrics import (
    ABANDONMENT_RATE,
    CONVERSION_RATE,
    DRIFTING_HOLDS,
    ITEMS_TOTAL,
    OUTBOX_OLDEST,
    OUTBOX_PENDING,
    VALUE_TOTAL,
)

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0


@asynccontextmanager
async def showing_stored(
    figures: FigureStore, outbox: Outbox, watches: WatchStore
) -> AsyncIterator[None]:
    """Keeps the gauges up to date for as long as the block runs."""
    showing = asyncio.create_task(_keep_showing(figures, outbox, watches))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _keep_showing(figures: FigureStore, outbox: Outbox, watches: WatchStore) -> None:
    while True:
        try:
            await show_pending(outbox)
            await show_figures(figures)
            await show_drifts(watches)
        except DependencyUnavailable as error:
            logger.debug("Gauges are not up to date: %s", error)
        except Exception:  # it must go on showing
            logger.exception("Gauges cannot be read")
        await asyncio.sleep(EVERY_SECONDS)


async def show_pending(outbox: Outbox) -> None:
    """How many effects wait for relays, and since when."""
    waiting = await outbox.waiting(shards=1)
    now = datetime.now(UTC)
    for kind in RelayKind:
        of_kind = [one for one in waiting if one.kind is kind]
        since = min((one.oldest for one in of_kind), default=now)
        OUTBOX_PENDING.set(sum(one.effects for one in of_kind), {"kind": kind.value})
        OUTBOX_OLDEST.set(max(0.0, (now - since).total_seconds()), {"kind": kind.value})


async def show_figures(store: FigureStore) -> None:
    """The latest figures of the business; none before the first."""
    figures = await store.latest()
    if figures is None:
        return
    ITEMS_TOTAL.set(figures.items_total)
    for currency, value in figures.value_total.items():
        VALUE_TOTAL.set(float(value), {"currency": currency})
    if figures.abandonment_rate is not None and figures.conversion_rate is not None:
        ABANDONMENT_RATE.set(figures.abandonment_rate)
        CONVERSION_RATE.set(figures.conversion_rate)


async def show_drifts(watches: WatchStore) -> None:
    """The holds that no cart explains; nothing before the first look."""
    watch = await watches.latest()
    if watch is None:
        return
    kinds = [finding.drift.kind for finding in watch.drifts]
    for kind in WATCHED:
        DRIFTING_HOLDS.set(kinds.count(kind), {"kind": kind.value})
