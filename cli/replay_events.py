"""`cart replay-events`: publishes recorded events again, with the same ids.

For consumers that have lost data. Pending events are left to their relay.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from adapters.kafka.publisher import EventPublisher
from adapters.mongo.carts import CartStore
from adapters.mongo.outbox import Outbox
from cli.audit import audited_now
from cli.console import CliError, show
from cli.options import AsJson, By, DryRun, OnlyStore, operator, parsed_by
from models.documents import OperationRecord
from models.effects import EventEffect
from models.errors import DependencyUnavailable, EffectRefused
from models.wire import timestamp
from ops.times import moment
from ops.words import brief
from settings import Settings, load_settings

CARTS_AT_ONCE = 16
PAGE = 500


@dataclass
class Replayed:
    """The events that were published again; `up_to` is the time of the last record, if any."""

    events: int = 0
    records: int = 0
    up_to: datetime | None = None


def replay_events(
    since: Annotated[
        datetime,
        parsed_by(moment, metavar="TIME", help="2026-01-27T10:30:00Z, or 90m, 24h, 7d ago."),
    ],
    store: OnlyStore = None,
    *,
    by: By = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Publish recorded events again, with the same ids."""
    settings = load_settings()
    replayed = Replayed()
    try:
        asyncio.run(_replay(settings, since, store, replayed, dry_run=dry_run))
    except (DependencyUnavailable, EffectRefused) as error:
        again = timestamp(replayed.up_to or since)
        raise CliError(
            brief(str(error)),
            f"{replayed.events} events published; continue with --since {again}",
        ) from None
    if not dry_run:
        audited_now(
            settings, "replay_events", by=operator(by), count=replayed.events, storeId=store
        )
    verb = "would be published" if dry_run else "published"
    show(
        {
            "events": replayed.events,
            "operations": replayed.records,
            "since": timestamp(since),
            "dryRun": dry_run,
        },
        f"{replayed.events} events of {replayed.records} operations {verb} again",
        as_json=as_json,
    )


async def _replay(
    settings: Settings, since: datetime, store: str | None, replayed: Replayed, *, dry_run: bool
) -> None:
    """Counts into `replayed` while it runs; raises when Kafka or MongoDB does not answer."""
    carts = await CartStore.connect(settings.mongodb, app_name="cart-replay-events")
    publisher = EventPublisher(settings)
    at_once = asyncio.Semaphore(CARTS_AT_ONCE)

    async def publish(records: list[OperationRecord]) -> None:
        """The events of one cart, in order."""
        async with at_once:
            for record in records:
                events = [
                    effect
                    for effect in record.effects
                    if isinstance(effect, EventEffect) and effect.skipped_because is None
                ]
                if events and not dry_run:
                    await publisher.publish(events)
                replayed.events += len(events)

    try:
        async for page in Outbox().done_since(since, store_id=store, size=PAGE):
            by_cart: dict[tuple[str, str], list[OperationRecord]] = {}
            for record in page:
                by_cart.setdefault((record.store_id, record.user_id), []).append(record)
            await asyncio.gather(*map(publish, by_cart.values()))
            replayed.records += len(page)
            replayed.up_to = page[-1].at
    finally:
        await publisher.close()
        await carts.close()
