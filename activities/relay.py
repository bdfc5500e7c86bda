"""Steps on the outbox: do pending effects, and wake the relays that do them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity

from activities.concurrency import gather_bounded
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.outbox import Outbox
from adapters.redis.stock_cache import StockCache
from models.cart import CartKey
from models.documents import OperationRecord, shard_key
from models.effects import AnyEffect, EffectKind
from models.errors import DependencyUnavailable, EffectRefused
from models.relays import RelayBatch, RelayProgress, SkipEffect, WakeRelay

logger = structlog.stdlib.get_logger(__name__)

CARTS_AT_ONCE = 32
MAX_REFUSED_NAMED = 20
# Wakes of one relay within this time are sent as one, at its end.
WAKE_DELAY_SECONDS = 0.25

Wake = Callable[[EffectKind, int], Awaitable[None]]
"""Starts or wakes the relay of a kind and shard. Raises `DependencyUnavailable`."""


class RelayActivities:
    """Activities on the `Outbox` and the systems that its effects are for."""

    def __init__(
        self,
        outbox: Outbox,
        events: EventPublisher,
        inventory: InventoryClient,
        stock: StockCache,
        *,
        wake: Wake,
        shards: int,
        grace_seconds: float,
    ) -> None:
        """`grace_seconds` is the age from which the relay does an effect.

        The saga does younger effects itself; the relay would do them twice.
        """
        self._outbox = outbox
        self._events = events
        self._inventory = inventory
        self._stock = stock
        self._wake = wake
        self._shards = shards
        self._grace = timedelta(seconds=grace_seconds)
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
        key = (request.kind, shard_key(cart) % self._shards)
        if key not in self._waking:
            self._waking[key] = asyncio.create_task(self._wake_soon(*key))

    async def _wake_soon(self, kind: EffectKind, shard: int) -> None:
        await asyncio.sleep(WAKE_DELAY_SECONDS)
        del self._waking[kind, shard]
        try:
            await self._wake(kind, shard)
        except DependencyUnavailable as error:
            logger.warning(
                "relay_not_woken",
                message=f"Could not wake relay {kind}/{shard}; the sweep will",
                reason=str(error),
            )

    @activity.defn(name="wake_waiting_relays")
    async def wake_waiting(self, older_than_seconds: float) -> int:
        """Wakes all relays with an effect older than this; returns their number."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        woken = 0
        with as_application_error():
            for kind in EffectKind:
                waiting = await self._outbox.shards_waiting(
                    kind, before=before, shards=self._shards
                )
                for shard in waiting:
                    await self._wake(kind, shard)
                    woken += 1
        return woken

    @activity.defn(name="deliver_pending")
    async def deliver(self, batch: RelayBatch) -> RelayProgress:
        """Does a shard's oldest pending effects: in order within a cart, carts in parallel.

        An unavailable dependency ends the batch. An effect that fails for another reason blocks
        the later effects of its cart only.
        """
        async with heartbeats():
            return await self._deliver(batch)

    async def _deliver(self, batch: RelayBatch) -> RelayProgress:
        delivery = _Delivery(
            batch.kind,
            self._outbox,
            self._events,
            self._inventory,
            self._stock,
            grace=self._grace,
        )
        oldest: datetime | None = None
        while True:
            blocked = frozenset(delivery.blocked)
            with as_application_error():
                records = await self._outbox.pending(
                    batch.kind,
                    shard=batch.shard,
                    shards=batch.shards,
                    limit=batch.limit + 1,  # to know whether there are more
                    exclude=blocked,
                )
            oldest = oldest or (records[0].at if records else None)
            waiting = await delivery.deliver(records[: batch.limit])
            waiting += len(records[batch.limit :])
            # Blocked carts must not fill the batch, so they are excluded from the next read.
            if len(records) <= batch.limit or delivery.down or delivery.blocked.keys() == blocked:
                break
        return RelayProgress(
            done=delivery.done,
            left=waiting + delivery.records_blocked,
            oldest=oldest,
            problem=delivery.down or next(iter(delivery.refused.values()), None),
            down=delivery.down is not None,
            blocked=delivery.records_blocked,
            refused=tuple(delivery.refused)[:MAX_REFUSED_NAMED],
        )


class _Delivery:
    """A batch in progress. Starts no further cart once a dependency is unavailable.

    Bypasses the circuit breakers: no caller waits, and an open circuit would count as a failure of
    the relay and lengthen its pauses.
    """

    def __init__(
        self,
        kind: EffectKind,
        outbox: Outbox,
        events: EventPublisher,
        inventory: InventoryClient,
        stock: StockCache,
        *,
        grace: timedelta,
    ) -> None:
        self._kind = kind
        self._grace = grace
        self._outbox = outbox
        self._events = events
        self._inventory = inventory
        self._stock = stock
        self._finished = 0
        self.done = 0
        self.down: str | None = None  # the error of the unavailable dependency
        self.refused: dict[str, str] = {}  # effect id -> error
        self.blocked: dict[CartKey, int] = {}  # cart -> records from its refused effect on

    @property
    def records_blocked(self) -> int:
        """The number of records that a refused effect blocks."""
        return sum(self.blocked.values())

    async def deliver(self, records: list[OperationRecord]) -> int:
        """Does the effects of these records; returns how many are left that are not blocked."""
        finished, blocked = self._finished, self.records_blocked
        ripe = datetime.now(UTC) - self._grace
        carts: dict[CartKey, list[OperationRecord]] = {}
        for record in records:
            if record.at <= ripe:
                carts.setdefault(record.key, []).append(record)
        # The first cart is a trial: it finds out whether the dependency is available.
        waiting = list(carts.items())
        for batch in (waiting[:1], waiting[1:]):
            await gather_bounded(self._deliver_cart, batch, CARTS_AT_ONCE)
        return len(records) - (self._finished - finished) - (self.records_blocked - blocked)

    async def _deliver_cart(self, batch: tuple[CartKey, list[OperationRecord]]) -> None:
        """Does the effects of one cart's records, oldest first, until one fails."""
        cart, records = batch
        for position, record in enumerate(records):
            if self.down is not None:
                return
            try:
                await self._deliver_record(record)
            except DependencyUnavailable as error:
                self.down = self.down or str(error)
                return
            except EffectRefused as error:
                self.refused[error.effect_id] = str(error)
            except Exception as error:  # a defect that one record meets must not stop the others
                effect = self._pending(record)[0]
                logger.exception("effect_failed", message=f"Effect {effect.id} cannot be done")
                self.refused[effect.id] = f"effect {effect.id} cannot be done: {error!r}"
            else:
                self._finished += 1
                continue
            self.blocked[cart] = len(records) - position
            return

    async def _deliver_record(self, record: OperationRecord) -> None:
        effects = self._pending(record)
        if self._kind is EffectKind.EVENT:
            await self._events.publish(record.pending_events, bypass_breaker=True)
        else:
            for release in record.pending_releases:
                await self._inventory.release(
                    record.store_id, record.user_id, release, bypass_breaker=True
                )
                await self._stock.drop(record.store_id, {release.product_id})
        done = tuple(effect.id for effect in effects)
        await self._outbox.mark_done(record.id, done, datetime.now(UTC))
        self.done += len(done)

    def _pending(self, record: OperationRecord) -> list[AnyEffect]:
        return record.pending_of(self._kind)
