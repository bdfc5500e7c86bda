"""Steps on the outbox: do what was left pending, and wake who does it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.errors import as_application_error
from adapters.events import EventPublisher
from adapters.inventory import InventoryClient
from adapters.outbox import Outbox
from models.errors import DependencyUnavailable
from models.messages import (
    EventEffect,
    RelayBatch,
    RelayKind,
    RelayProgress,
    ReleaseEffect,
    SkipEffect,
    WakeRelay,
)
from models.operation import Operation, shard_key

logger = logging.getLogger(__name__)

# A saga does its own effects within this time; a relay that came earlier would do them twice.
GRACE = timedelta(seconds=3)
CARTS_AT_ONCE = 32
# Wakes of one relay within this time become one, which comes after all of them.
WAKE_DELAY_SECONDS = 0.25
HEARTBEAT_SECONDS = 1.0

Wake = Callable[[RelayKind, int], Awaitable[None]]
"""Starts or wakes the relay of a kind and shard; raises `DependencyUnavailable`."""


class OutboxActivities:
    """Activities over the `Outbox`, and over the adapters that its effects are for."""

    def __init__(
        self,
        outbox: Outbox,
        events: EventPublisher,
        inventory: InventoryClient,
        *,
        wake: Wake,
        shards: int,
    ) -> None:
        self._outbox = outbox
        self._events = events
        self._inventory = inventory
        self._wake = wake
        self._shards = shards
        self._waking: dict[tuple[RelayKind, int], asyncio.Task[None]] = {}

    @activity.defn(name="skip_effect")
    async def skip(self, request: SkipEffect) -> bool:
        """Gives an effect up; False when it is not pending."""
        with as_application_error():
            return await self._outbox.skip(request.effect_id, reason=request.reason, at=request.at)

    @activity.defn(name="wake_relay")
    async def wake(self, request: WakeRelay) -> None:
        """Sees to it that the cart's relay looks for what is pending, in a moment."""
        key = (request.kind, shard_key(request.store_id, request.user_id) % self._shards)
        if key not in self._waking:
            self._waking[key] = asyncio.create_task(self._wake_soon(*key))

    async def _wake_soon(self, kind: RelayKind, shard: int) -> None:
        await asyncio.sleep(WAKE_DELAY_SECONDS)
        del self._waking[kind, shard]
        try:
            await self._wake(kind, shard)
        except DependencyUnavailable as error:
            logger.warning("Relay %s/%d not woken, the sweep will: %s", kind, shard, error)

    @activity.defn(name="wake_waiting_relays")
    async def wake_waiting(self, older_than_seconds: float) -> int:
        """Wakes every relay with an effect that has been pending so long; answers how many."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        woken = 0
        with as_application_error():
            for kind in RelayKind:
                waiting = await self._outbox.shards_waiting(
                    kind, before=before, shards=self._shards
                )
                for shard in waiting:
                    await self._wake(kind, shard)
                    woken += 1
        return woken

    @activity.defn(name="deliver_pending")
    async def deliver(self, batch: RelayBatch) -> RelayProgress:
        """Does a shard's oldest pending effects: in order for each cart, many carts at once.

        What fails ends the batch: the dependency is down, and the relay tries again later.
        """
        async with _heartbeats():
            return await self._deliver(batch)

    async def _deliver(self, batch: RelayBatch) -> RelayProgress:
        with as_application_error():
            records = await self._outbox.pending(
                batch.kind, shard=batch.shard, shards=batch.shards, limit=batch.limit
            )
        ripe = datetime.now(UTC) - GRACE
        carts: dict[tuple[str, str], list[Operation]] = {}
        for record in records:
            if record.at <= ripe:
                carts.setdefault((record.store_id, record.user_id), []).append(record)
        delivery = _Delivery(batch.kind, self._outbox, self._events, self._inventory)
        at_once = asyncio.Semaphore(CARTS_AT_ONCE)

        async def deliver_cart(waiting: list[Operation]) -> None:
            async with at_once:
                await delivery.deliver(waiting)

        await asyncio.gather(*(deliver_cart(waiting) for waiting in carts.values()))
        return RelayProgress(
            done=delivery.done,
            left=len(records) - delivery.finished,
            oldest=records[0].at if records else None,
            problem=delivery.problem,
        )


@asynccontextmanager
async def _heartbeats() -> AsyncIterator[None]:
    """Tells Temporal that the activity is alive, for as long as it runs."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


class _Delivery:
    """One batch in progress. After a first failure no further cart is begun."""

    def __init__(
        self,
        kind: RelayKind,
        outbox: Outbox,
        events: EventPublisher,
        inventory: InventoryClient,
    ) -> None:
        self._kind = kind
        self._outbox = outbox
        self._events = events
        self._inventory = inventory
        self.done = 0
        self.finished = 0
        self.problem: str | None = None

    async def deliver(self, records: list[Operation]) -> None:
        """The effects of one cart's records, oldest first, until one fails."""
        for record in records:
            if self.problem is not None:
                return
            try:
                ids = await self._deliver_record(record)
                await self._outbox.mark_done(record.id, ids, datetime.now(UTC))
            except DependencyUnavailable as error:
                self.problem = self.problem or str(error)
                return
            self.done += len(ids)
            self.finished += 1

    async def _deliver_record(self, record: Operation) -> tuple[str, ...]:
        waiting = [effect for effect in record.effects if effect.done_at is None]
        if self._kind is RelayKind.EVENTS:
            events = [effect for effect in waiting if isinstance(effect, EventEffect)]
            await self._events.publish(events)
            return tuple(event.id for event in events)
        releases = [effect for effect in waiting if isinstance(effect, ReleaseEffect)]
        for release in releases:
            await self._inventory.release(record.store_id, record.user_id, release)
        return tuple(release.id for release in releases)
