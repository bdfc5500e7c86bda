"""Does a shard's pending effects: what a relay's batch does."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from activities.concurrency import gather_bounded, gather_ramped
from activities.failing import Failing, Path
from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.outbox import Outbox
from adapters.redis.stock_cache import StockCache
from models.cart import CartKey
from models.documents import PendingEffects
from models.effects import AnyEffect, EffectKind, ReleaseEffect
from models.errors import DependencyUnavailable, EffectRefused
from models.relays import LONGEST_PAUSE, doubling_pause

logger = structlog.stdlib.get_logger(__name__)

CARTS_AT_ONCE = 32
CARTS_AT_ONCE_IN_ALL = 64
"""Of all batches of a kind in a process. More wait for each other until they time out."""
LEAST_AT_ONCE = 4
"""So that one slow product alone does not hold up the others of a batch."""
RELEASES_AT_ONCE = 8  # of one record
MAX_REFUSED_NAMED = 20
SKIPPED_FOR = timedelta(seconds=5)
LONGEST_PAUSE_REFUSED = timedelta(minutes=5)


def pause_after(attempts: int, *, refused: bool) -> timedelta:
    """How long an effect waits after so many failed tries, with jitter.

    A refusal ends only when something is changed, so it waits longer.
    """
    pause = doubling_pause(attempts, LONGEST_PAUSE_REFUSED if refused else LONGEST_PAUSE)
    return pause * random.uniform(0.8, 1)  # noqa: S311 (a pause, not a secret)


class Delivery:
    """One batch of one kind of effect. Calls bypass the circuit breakers.

    `done` counts effects. `problem` is the first error, and `unavailable` is set when there was one
    other than a refusal. `refused` has the ids of some effects that their system refuses, `skipped`
    those of records left alone, because what they are about fails.
    """

    def __init__(
        self,
        kind: EffectKind,
        outbox: Outbox,
        events: EventPublisher,
        inventory: InventoryClient,
        stock: StockCache,
        *,
        slots: asyncio.Semaphore,
    ) -> None:
        """`slots` are shared by all batches of a kind."""
        self._kind = kind
        self._slots = slots
        self._outbox = outbox
        self._events = events
        self._inventory = inventory
        self._stock = stock
        self._failing = Failing()
        self.done = 0
        self.problem: str | None = None
        self.unavailable = False
        self.refused: list[str] = []
        self.skipped: list[str] = []

    async def deliver(self, carts: Sequence[CartKey], *, before: datetime, deadline: float) -> None:
        """Does the effects of these carts that are due before a time.

        Begins with no record after `deadline`, by the monotonic clock.
        """
        one_kind = self._publish_in_order if self._kind is EffectKind.EVENT else self._release_of

        async def cart(key: CartKey) -> bool | None:
            """None without a call, False when one has failed."""
            async with self._slots:
                if time.monotonic() >= deadline:
                    return None
                try:
                    return await one_kind(key, before, deadline)
                except Exception as error:  # its records cannot be read or written
                    if not isinstance(error, DependencyUnavailable):
                        logger.exception(
                            "effects_failed", message="A cart's effects cannot be done"
                        )
                    self.unavailable = True
                    self.problem = self.problem or f"{'/'.join(key)}: {error}"
                    return False

        await gather_ramped(cart, carts, least=LEAST_AT_ONCE, most=CARTS_AT_ONCE)

    async def _release_of(self, cart: CartKey, before: datetime, deadline: float) -> bool | None:
        results: set[bool | None] = set()
        for record in await self._outbox.of_cart(self._kind, cart, before=before):
            if time.monotonic() >= deadline:
                break
            results.add(await self._release_all(record))
        return False if False in results else True if True in results else None

    async def _publish_in_order(
        self, cart: CartKey, before: datetime, deadline: float
    ) -> bool | None:
        result: bool | None = None
        for record in await self._outbox.of_cart(self._kind, cart):
            if time.monotonic() >= deadline:
                break
            due = record.due[self._kind].at
            if due >= before:  # later events must not overtake this one
                await self._outbox.postpone(self._kind, cart, until=due)
                return result
            events = record.pending_events
            first = events[0]
            partition = self._events.partition(first.topic, first.key.encode())
            path = (first.topic, str(partition), "/".join(cart))
            if self._failing.is_failing(*path):
                self.skipped.append(record.id)
                return result
            publish = partial(self._events.publish, events, bypass_breaker=True)
            failure = await self._attempt(path, record, events, publish)
            if failure is not None:
                await self._defer(record, failure)
                return None if failure.is_refusal else False
            result = True
        return result

    async def _release_all(self, record: PendingEffects) -> bool | None:
        """Makes the releases of one record, in parallel, each noted when it is made."""
        sick = Failure("it is about what fails", is_refusal=False)

        async def release(effect: ReleaseEffect) -> Failure | None:
            path = (record.store_id, effect.product_id, effect.id)
            if self._failing.is_failing(*path):
                return sick
            call = partial(self._release, record, effect)
            return await self._attempt(path, record, [effect], call)

        results = await gather_bounded(release, record.pending_releases, RELEASES_AT_ONCE)
        failures = [one for one in results if one is not None and one is not sick]
        if failures:
            await self._defer(record, failures[0])
        elif sick in results:
            self.skipped.append(record.id)
        if any(not failure.is_refusal for failure in failures):
            return False
        return True if None in results else None

    async def _release(self, record: PendingEffects, effect: ReleaseEffect) -> None:
        await self._inventory.release(record.store_id, record.user_id, effect, bypass_breaker=True)
        await self._stock.drop(record.store_id, {effect.product_id})

    async def _attempt(
        self,
        path: Path,
        record: PendingEffects,
        effects: Sequence[AnyEffect],
        call: Callable[[], Awaitable[None]],
    ) -> "Failure | None":
        """Does effects by one call, and notes them as done; returns why it could not."""
        ids = [effect.id for effect in effects]
        try:
            await call()
            await self._outbox.mark_done(record, effects, datetime.now(UTC))
        except DependencyUnavailable as error:
            self._failing.failed(*path)
            self.unavailable = True
            failure = Failure(str(error), is_refusal=False)
        except EffectRefused as error:
            self._refuse(error.effect_id)
            failure = Failure(str(error), is_refusal=True)
        except Exception as error:  # a defect that one record meets must not stop the others
            logger.exception("effect_failed", message=f"Effect {ids[0]} cannot be done")
            self._refuse(ids[0])
            failure = Failure(f"effect {ids[0]} cannot be done: {error!r}", is_refusal=True)
        else:
            self._failing.succeeded(*path)
            self.done += len(ids)
            return None
        self.problem = self.problem or failure.problem
        return failure

    def _refuse(self, effect_id: str) -> None:
        if len(self.refused) < MAX_REFUSED_NAMED:
            self.refused.append(effect_id)

    async def _defer(self, record: PendingEffects, failure: "Failure") -> None:
        attempts = record.due[self._kind].attempts + 1
        until = datetime.now(UTC) + pause_after(attempts, refused=failure.is_refusal)
        await self._outbox.defer(self._kind, record, until=until, problem=failure.problem)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an effect could not be done; a refusal is about the effect alone."""

    problem: str
    is_refusal: bool
