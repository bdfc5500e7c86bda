"""Steps on the outbox: do what was left pending, and wake who does it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.outbox import CartKey, Outbox
from adapters.redis.stock_cache import StockCache
from models.errors import DependencyUnavailable, EffectRefused
from models.messages import AnyEffect, EventEffect, ReleaseEffect
from models.operation import Operation, shard_key
from models.relays import RelayBatch, RelayKind, RelayProgress, SkipEffect, WakeRelay

logger = logging.getLogger(__name__)

CARTS_AT_ONCE = 32
REFUSED_NAMED = 20
# Wakes of one relay within this time become one, which comes after all of them.
WAKE_DELAY_SECONDS = 0.25

Wake = Callable[[RelayKind, int], Awaitable[None]]
"""Starts or wakes the relay of a kind and shard; raises `DependencyUnavailable`."""


class OutboxActivities:
    """Activities over the `Outbox`, and over the adapters that its effects are for."""

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
        """A saga does its own effects within `grace_seconds`; a relay that came earlier would do
        them twice."""
        self._outbox = outbox
        self._events = events
        self._inventory = inventory
        self._stock = stock
        self._wake = wake
        self._shards = shards
        self._grace = timedelta(seconds=grace_seconds)
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

        A dependency that is down ends the batch, and the relay tries again later. A single effect
        that fails holds up its own cart, and the rest goes on.
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
            held = frozenset(delivery.held)
            with as_application_error():
                records = await self._outbox.pending(
                    batch.kind,
                    shard=batch.shard,
                    shards=batch.shards,
                    limit=batch.limit + 1,  # one more tells that there are more
                    besides=held,
                )
            oldest = oldest or (records[0].at if records else None)
            waiting = await delivery.deliver(records[: batch.limit])
            waiting += len(records[batch.limit :])
            # Carts that are held up must not fill the batches that the others need.
            if len(records) <= batch.limit or delivery.down or delivery.held.keys() == held:
                break
        return RelayProgress(
            done=delivery.done,
            left=waiting + delivery.records_held,
            oldest=oldest,
            problem=delivery.down or next(iter(delivery.refused.values()), None),
            down=delivery.down is not None,
            held=delivery.records_held,
            refused=tuple(delivery.refused)[:REFUSED_NAMED],
        )


class _Delivery:
    """A batch in progress. After a failure of a dependency no further cart is begun.

    Its calls are made although a circuit is open: no saga and no shopper waits for them, and a
    relay that took an open circuit for a failure would come back ever later.
    """

    def __init__(
        self,
        kind: RelayKind,
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
        self._at_once = asyncio.Semaphore(CARTS_AT_ONCE)
        self._finished = 0
        self.done = 0
        self.down: str | None = None  # how the dependency failed
        self.refused: dict[str, str] = {}  # effect -> why
        self.held: dict[CartKey, int] = {}  # cart -> its records that wait behind such an effect

    @property
    def records_held(self) -> int:
        return sum(self.held.values())

    async def deliver(self, records: list[Operation]) -> int:
        """Answers how many of these are left that nothing holds up: young, or not begun."""
        finished, held = self._finished, self.records_held
        ripe = datetime.now(UTC) - self._grace
        carts: dict[CartKey, list[Operation]] = {}
        for record in records:
            if record.at <= ripe:
                carts.setdefault((record.store_id, record.user_id), []).append(record)
        # The first cart goes alone, and finds out for the others whether the dependency is there.
        waiting = list(carts.items())
        for at_once in (waiting[:1], waiting[1:]):
            await asyncio.gather(*(self._deliver_cart(*cart) for cart in at_once))
        return len(records) - (self._finished - finished) - (self.records_held - held)

    async def _deliver_cart(self, cart: CartKey, records: list[Operation]) -> None:
        """The effects of one cart's records, oldest first, until one fails."""
        async with self._at_once:
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
                except Exception as error:  # a bug that one record meets must not stop the others
                    effect = self._waiting(record)[0]
                    logger.exception("Effect %s cannot be done", effect.id)
                    self.refused[effect.id] = f"effect {effect.id} cannot be done: {error!r}"
                else:
                    self._finished += 1
                    continue
                self.held[cart] = len(records) - position
                return

    async def _deliver_record(self, record: Operation) -> None:
        effects = self._waiting(record)
        if self._kind is RelayKind.EVENTS:
            events = [one for one in effects if isinstance(one, EventEffect)]
            await self._events.publish(events, anyway=True)
        for effect in effects:
            if isinstance(effect, ReleaseEffect):
                await self._inventory.release(record.store_id, record.user_id, effect, anyway=True)
                await self._stock.drop(record.store_id, {effect.product_id})
        done = tuple(effect.id for effect in effects)
        await self._outbox.mark_done(record.id, done, datetime.now(UTC))
        self.done += len(done)

    def _waiting(self, record: Operation) -> list[AnyEffect]:
        kind = EventEffect if self._kind is RelayKind.EVENTS else ReleaseEffect
        return [one for one in record.effects if isinstance(one, kind) and one.done_at is None]
