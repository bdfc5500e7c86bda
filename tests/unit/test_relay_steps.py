"""The steps of relays: how a batch reports its end, and which relays are woken."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import relay
from activities.relay import RelayActivities
from activities.waking import RelayWaker
from adapters.mongo.outbox import Waiting
from models.cart import CartKey
from models.documents import PendingEffects, bucket_of, due_at
from models.effects import EffectKind, EventEffect
from models.errors import DependencyUnavailable, EffectRefused
from models.relays import RelayBatch, RelayProgress, SkipEffect, WakeRelay

SHARDS = 4
NEXT_TRY = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


def pending(user: str) -> PendingEffects:
    key, now = CartKey("store-1", user), datetime.now(UTC) - timedelta(minutes=1)
    event = EventEffect(id=f"event-{user}", topic="added", key="0", value="{}", time=now)
    return PendingEffects(
        _id=f"record-{user}",
        store_id=key.store_id,
        user_id=key.user_id,
        effects=[event],
        due=due_at(key, [event], now),
        at=now,
    )


class FakeSystems:
    """The outbox and Kafka; events of the users in `fails` raise their error."""

    def __init__(self, *users: str) -> None:
        self.records = {CartKey("store-1", user): pending(user) for user in users}
        self.fails: dict[str, Exception] = {}
        self.before: datetime | None = None
        self.postponed: list[str] = []
        self.shards: dict[EffectKind, list[int]] = {}
        self.skipped: list[str] = []
        self.down = False

    async def due(
        self, _: EffectKind, *, shard: int, shards: int, before: datetime, limit: int
    ) -> list[CartKey]:
        assert (shard, shards) == (1, SHARDS)
        self.before = before
        return [key for key in self.records for _ in range(2)][:limit]

    async def of_cart(self, _: EffectKind, cart: CartKey) -> list[PendingEffects]:
        return [self.records[cart]] if cart in self.records else []

    async def publish(self, events: Sequence[EventEffect], **_: Any) -> None:
        user = events[0].id.removeprefix("event-")
        if user in self.fails:
            raise self.fails[user]

    def partition(self, _: str, key: bytes) -> int:
        return int(key)

    async def mark_done(self, record: PendingEffects, *_: Any) -> None:
        del self.records[record.key]

    async def defer(self, *_: Any, **__: Any) -> None: ...

    async def postpone_records(
        self, _: EffectKind, records: Sequence[str], *, until: datetime
    ) -> None:
        assert until > datetime.now(UTC)
        self.postponed += records

    async def waiting(self, kind: EffectKind, *, shard: int, shards: int) -> Waiting:
        assert (shard, shards) == (1, SHARDS)
        return Waiting(kind, shard, len(self.records), None, NEXT_TRY)

    async def shards_due(self, kind: EffectKind, *, before: datetime, shards: int) -> list[int]:
        assert shards == SHARDS
        self.before = before
        if self.down:
            raise DependencyUnavailable("mongodb", "down")
        return self.shards.get(kind, [])

    async def skip(self, effect_id: str, *, reason: str, at: datetime) -> bool:
        assert at == NEXT_TRY
        self.skipped.append(f"{effect_id}: {reason}")
        return effect_id == "event-ada"


class Relay:
    def __init__(self, *users: str) -> None:
        self.systems = FakeSystems(*users)
        self.woken: list[tuple[EffectKind, int]] = []
        self.temporal_down = False
        system = cast(Any, self.systems)
        waker = RelayWaker(self._wake, shards=SHARDS)
        self.activities = RelayActivities(system, system, system, system, waker)

    async def _wake(self, kind: EffectKind, shard: int) -> None:
        if self.temporal_down:
            raise DependencyUnavailable("temporal", "down")
        self.woken.append((kind, shard))

    async def batch(self, *, limit: int = 100, retry_now: bool = False) -> RelayProgress:
        request = RelayBatch(
            kind=EffectKind.EVENT, shard=1, shards=SHARDS, limit=limit, retry_now=retry_now
        )
        progress: RelayProgress = await ActivityEnvironment().run(self.activities.deliver, request)
        return progress


async def test_a_batch_reports_what_is_done_and_what_is_left() -> None:
    ran = Relay("ada", "bob", "cleo")
    ran.systems.fails = {"bob": EffectRefused("event-bob", "kafka", "too large")}
    progress = await ran.batch()
    assert (progress.done, progress.left, progress.next_try) == (2, 1, NEXT_TRY)
    assert (progress.refused, progress.down) == (("event-bob",), False)
    assert progress.problem == "kafka refuses effect event-bob: too large"


async def test_a_batch_in_which_nothing_could_be_done_says_that_the_system_is_down() -> None:
    ran = Relay("ada", "bob")
    down = DependencyUnavailable("kafka", "no broker answers")
    ran.systems.fails = {"ada": down, "bob": down}
    progress = await ran.batch()
    assert (progress.done, progress.left, progress.down) == (0, 2, True)
    assert progress.problem == "kafka is unavailable: no broker answers"
    ran.systems.fails = {"ada": down}
    assert not (await ran.batch()).down


async def test_a_forced_retry_takes_effects_before_their_time() -> None:
    ran = Relay("ada")
    await ran.batch()
    assert ran.systems.before is not None
    assert ran.systems.before <= datetime.now(UTC)
    await ran.batch(retry_now=True)
    assert ran.systems.before > datetime.now(UTC) + timedelta(minutes=1)


async def test_what_is_skipped_in_a_full_batch_lets_others_pass() -> None:
    """Else the same records would fill the next batch too."""
    users = [f"user-{number:02}" for number in range(40)]
    ran = Relay(*users)
    down = DependencyUnavailable("kafka", "no leader of the partition")
    ran.systems.fails = dict.fromkeys(users, down)
    await ran.batch(limit=80)
    assert ran.systems.postponed
    ran = Relay(*users)
    ran.systems.fails = dict.fromkeys(users, down)
    await ran.batch(limit=1000)  # all that there is, and nothing could be done
    assert ran.systems.postponed == []


async def test_wakes_of_one_relay_are_sent_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "WAKE_DELAY_SECONDS", 0)
    ran = Relay()
    ada, bob = CartKey("store-1", "ada"), CartKey("store-1", "dan")
    assert bucket_of(ada) % SHARDS != bucket_of(bob) % SHARDS

    async def wake(*carts: CartKey) -> None:
        for cart in carts:
            request = WakeRelay(kind=EffectKind.EVENT, store_id=cart.store_id, user_id=cart.user_id)
            await ran.activities.wake_relay(request)
        await asyncio.gather(*ran.activities._waking.values())

    await wake(ada, ada, bob, ada)
    assert ran.woken == [(EffectKind.EVENT, bucket_of(cart) % SHARDS) for cart in (ada, bob)]
    await wake(ada)
    assert len(ran.woken) == 3
    ran.temporal_down = True
    await wake(ada)  # it is left to the sweep, and fails nothing
    assert len(ran.woken) == 3


async def test_the_sweep_wakes_each_relay_with_old_effects() -> None:
    ran = Relay()
    ran.systems.shards = {EffectKind.EVENT: [0, 3], EffectKind.RELEASE: [2]}
    assert await ActivityEnvironment().run(ran.activities.wake_waiting, 60.0) == 3
    assert ran.woken == [
        (EffectKind.EVENT, 0),
        (EffectKind.EVENT, 3),
        (EffectKind.RELEASE, 2),
    ]
    assert ran.systems.before is not None
    assert timedelta(seconds=60) <= datetime.now(UTC) - ran.systems.before


@pytest.mark.parametrize("system", ["mongodb", "temporal"])
async def test_a_sweep_that_cannot_wake_fails_so_that_it_is_tried_again(system: str) -> None:
    ran = Relay()
    ran.systems.shards = {EffectKind.EVENT: [0]}
    ran.systems.down, ran.temporal_down = system == "mongodb", system == "temporal"
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(ran.activities.wake_waiting, 60.0)
    assert (failed.value.non_retryable, failed.value.details) == (False, (system,))


@pytest.mark.parametrize(("effect", "is_pending"), [("event-ada", True), ("event-bob", False)])
async def test_a_skip_says_whether_the_effect_was_pending(effect: str, *, is_pending: bool) -> None:
    ran = Relay()
    request = SkipEffect(effect_id=effect, reason="sent by hand", at=NEXT_TRY)
    assert await ActivityEnvironment().run(ran.activities.skip, request) is is_pending
    assert ran.systems.skipped == [f"{effect}: sent by hand"]
