"""What a worker shows of what MongoDB has: the figures of the business, and what relays have to do.

Read every few seconds, not with each scrape. Every worker shows the same.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from adapters.figures import FigureStore
from adapters.outbox import Outbox
from models.errors import DependencyUnavailable
from models.messages import RelayKind
from telemetry.metrics import (
    ABANDONMENT_RATE,
    CONVERSION_RATE,
    ITEMS_TOTAL,
    OUTBOX_OLDEST,
    OUTBOX_PENDING,
    VALUE_TOTAL,
)

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0


@asynccontextmanager
async def showing_stored(figures: FigureStore, outbox: Outbox) -> AsyncIterator[None]:
    """Keeps the gauges up to date for as long as the block runs."""
    showing = asyncio.create_task(_keep_showing(figures, outbox))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _keep_showing(figures: FigureStore, outbox: Outbox) -> None:
    while True:
        try:
            await show_pending(outbox)
            await show_figures(figures)
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
