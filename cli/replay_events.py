"""`cart replay-events`: publishes again what was published, from the records, with the same ids.

For consumers that have lost what they knew. What is still pending is left to its relay.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.ops.options import AsJson, OnlyStore

if TYPE_CHECKING:
    from models.operation import Operation
    from settings import Settings

CARTS_AT_ONCE = 16
PAGE = 500
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass
class Replayed:
    """What was published again; `up_to` is the time of the last record, if there was one."""

    events: int = 0
    records: int = 0
    up_to: datetime | None = None


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command(name="replay-events")(replay_events)


def replay_events(
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="2026-01-27T10:30:00Z, or 90m, 24h, 7d ago."),
    ],
    store: OnlyStore = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish events again from the records, with the same ids."""
    import asyncio  # noqa: PLC0415

    from cli.console import CliError, print_json  # noqa: PLC0415
    from models.errors import DependencyUnavailable, EffectRefused  # noqa: PLC0415
    from models.wire import timestamp  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    replayed = Replayed()
    begin = _moment(since)
    try:
        asyncio.run(_replay(load_settings(), begin, store, replayed, dry_run=dry_run))
    except (DependencyUnavailable, EffectRefused) as error:
        again = timestamp(replayed.up_to or begin)
        raise CliError(
            f"{error}\n{replayed.events} events published; go on with --since {again}"
        ) from None
    told = {"events": replayed.events, "operations": replayed.records, "since": timestamp(begin)}
    if as_json:
        print_json(told | {"dryRun": dry_run})
        return
    verb = "would be published" if dry_run else "published"
    print(f"{replayed.events} events of {replayed.records} operations {verb} again")


def _moment(text: str) -> datetime:
    """A time, or so long ago.

    >>> _moment("2026-01-27T10:30:00Z").isoformat()
    '2026-01-27T10:30:00+00:00'
    """
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if ago is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time", param_hint="--since") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _replay(
    settings: "Settings",
    since: datetime,
    store: str | None,
    replayed: Replayed,
    *,
    dry_run: bool,
) -> None:
    """Counts into `replayed` as it goes; raises when Kafka or MongoDB does not answer."""
    import asyncio  # noqa: PLC0415

    from adapters.kafka.publisher import EventPublisher  # noqa: PLC0415
    from adapters.mongo.carts import CartStore  # noqa: PLC0415
    from adapters.mongo.outbox import Outbox  # noqa: PLC0415

    carts = await CartStore.connect(settings.mongodb, app_name="cart-replay-events")
    publisher = EventPublisher(settings)
    at_once = asyncio.Semaphore(CARTS_AT_ONCE)

    async def publish(records: list["Operation"]) -> None:
        """Those of one cart, in order."""
        async with at_once:
            for record in records:
                events = [one for one in record.effects if one.kind == "event"]
                told = [event for event in events if event.skipped_because is None]
                if told and not dry_run:
                    await publisher.publish(told)
                replayed.events += len(told)

    try:
        async for page in Outbox().done_since(since, store_id=store, size=PAGE):
            by_cart: dict[tuple[str, str], list[Operation]] = {}
            for record in page:
                by_cart.setdefault((record.store_id, record.user_id), []).append(record)
            await asyncio.gather(*map(publish, by_cart.values()))
            replayed.records += len(page)
            replayed.up_to = page[-1].at
    finally:
        await publisher.close()
        await carts.close()
