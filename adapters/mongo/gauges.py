"""Gauges of stored data: business figures, pending effects, and reservations without a cart.

A worker reads the data every `EVERY_SECONDS`, not on each scrape. All workers show the same values.
"""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial

import structlog

from adapters.background import repeating
from adapters.mongo.figures import FigureStore
from adapters.mongo.outbox import Outbox
from adapters.mongo.watch import WatchStore
from models.effects import EffectKind
from models.errors import DependencyUnavailable
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

logger = structlog.stdlib.get_logger(__name__)

EVERY_SECONDS = 5.0


def showing_stored(
    figures: FigureStore, outbox: Outbox, watches: WatchStore
) -> AbstractAsyncContextManager[None]:
    """Keeps the gauges up to date while a block runs."""

    async def show() -> None:
        for part in (
            partial(show_pending, outbox),
            partial(show_figures, figures),
            partial(show_drifts, watches),
        ):
            try:
                await part()
            except DependencyUnavailable as error:
                logger.debug("gauges_stale", message="A gauge is not known", reason=str(error))

    return repeating("gauges", show, every_seconds=EVERY_SECONDS)


async def show_pending(outbox: Outbox) -> None:
    """Sets the gauges of records with pending effects, and the age of the oldest.

    They have no sample while that is not known: 0 would say that all is done.
    """
    now = datetime.now(UTC)
    for kind in EffectKind:
        try:
            waiting = await outbox.waiting(kind)
        except DependencyUnavailable:
            OUTBOX_PENDING.forget({"kind": kind.value})
            OUTBOX_OLDEST.forget({"kind": kind.value})
            raise
        age = (now - waiting.oldest).total_seconds() if waiting.oldest else 0.0
        OUTBOX_PENDING.set(waiting.records, {"kind": kind.value})
        OUTBOX_OLDEST.set(max(0.0, age), {"kind": kind.value})


async def show_figures(store: FigureStore) -> None:
    """Sets the gauges of the business figures, once there are any."""
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
    """Sets the gauges of drifting reservations, once the watch has looked."""
    watch = await watches.latest()
    if watch is None:
        return
    kinds = [finding.drift.kind for finding in watch.drifts]
    for kind in WATCHED:
        DRIFTING_HOLDS.set(kinds.count(kind), {"kind": kind.value})
