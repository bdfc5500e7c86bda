"""Steps on the outbox: do pending effects, and wake the relays that do them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.delivery import (
    CARTS_AT_ONCE_IN_ALL,
    LONGEST_PAUSE_REFUSED,
    SKIPPED_FOR,
    Delivery,
)
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from activities.waking import RelayWaker
from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.outbox import Outbox
from adapters.redis.stock_cache import StockCache
from models.cart import CartKey
from models.effects import EffectKind
from models.relays import RelayBatch, RelayProgress, SkipEffect, WakeRelay

BATCH_SECONDS = 20.0
"""A batch begins nothing new after this time, well before the activity's timeout."""
# Wakes of one relay within this time are sent as one, at its end.
WAKE_DELAY_SECONDS = 0.25


class RelayActivities:
    """Activities on the `Outbox` and the systems that its effects are for."""

    def __init__(
        self,
        outbox: Outbox,
        events: EventPublisher,
        inventory: InventoryClient,
        stock: StockCache,
        waker: RelayWaker,
    ) -> None:
        self._outbox = outbox
        self._events = events
        self._inventory = inventory
        self._stock = stock
        self._waker = waker
        self._slots = {kind: asyncio.Semaphore(CARTS_AT_ONCE_IN_ALL) for kind in EffectKind}
        self._waking: dict[tuple[EffectKind, int], asyncio.Task[None]] = {}

    @activity.defn(name="skip_effect")
    async def skip(self, request: SkipEffect) -> bool:
        """Marks an effect as skipped; False when it is not pending."""
        with as_application_error():
            return await self._outbox.skip(request.effect_id, reason=request.reason, at=request.at)

    @activity.defn(name="wake_relay")
    async def wake_relay(self, request: WakeRelay) -> None:
        """Schedules a wake of the cart's relay in `WAKE_DELAY_SECONDS`; does not wait for it."""
        cart = CartKey(request.store_id, request.user_id)
        key = self._waker.relay_of(request.kind, cart)
        if key not in self._waking:
            self._waking[key] = asyncio.create_task(self._wake_soon(*key))

    async def _wake_soon(self, kind: EffectKind, shard: int) -> None:
        await asyncio.sleep(WAKE_DELAY_SECONDS)
        del self._waking[kind, shard]
        await self._waker.try_to_wake(kind, shard)

    @activity.defn(name="wake_waiting_relays")
    async def wake_waiting(self, older_than_seconds: float) -> int:
        """Wakes all relays with an effect older than this; returns their number."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        woken = 0
        with as_application_error():
            for kind in EffectKind:
                shards = self._waker.shards
                for shard in await self._outbox.shards_due(kind, before=before, shards=shards):
                    await self._waker.wake(kind, shard)
                    woken += 1
        return woken

    @activity.defn(name="deliver_pending")
    async def deliver(self, batch: RelayBatch) -> RelayProgress:
        """Does a shard's due effects: in order within a cart, carts in parallel.

        An effect that fails is tried again later, and the others are done meanwhile.
        """
        async with heartbeats():
            with as_application_error():
                return await self._deliver(batch)

    async def _deliver(self, batch: RelayBatch) -> RelayProgress:
        kind, shard = batch.kind, {"shard": batch.shard, "shards": batch.shards}
        delivery = Delivery(
            kind, self._outbox, self._events, self._inventory, self._stock, slots=self._slots[kind]
        )
        now = datetime.now(UTC)
        before = now + LONGEST_PAUSE_REFUSED if batch.retry_now else now
        due = await self._outbox.due(kind, **shard, before=before, limit=batch.limit)
        deadline = time.monotonic() + BATCH_SECONDS
        await delivery.deliver(list(dict.fromkeys(due)), before=before, deadline=deadline)
        if delivery.skipped and (delivery.done or len(due) == batch.limit):
            # Out of the way of what waits behind them.
            until = datetime.now(UTC) + SKIPPED_FOR
            await self._outbox.postpone_records(kind, delivery.skipped, until=until)
        waiting = await self._outbox.waiting(kind, **shard)
        return RelayProgress(
            done=delivery.done,
            left=waiting.records,
            next_try=waiting.next_try,
            problem=delivery.problem,
            down=delivery.unavailable and not delivery.done,
            refused=tuple(delivery.refused),
        )
