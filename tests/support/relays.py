"""Relays that run in the test's process: their worker, their shard and the effects stored for them.

The stack's relays divide the same records into other shards, and run only when they are woken. So
a test wakes its own relay, and leaves no pending effect; the stack's sweep, which would wake the
others, is paused meanwhile.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from adapters.kafka.publisher import EventPublisher
from adapters.mongo.outbox import Outbox
from models.cart import CartKey
from models.documents import BUCKETS, OperationRecord, bucket_of, due_at
from models.effects import AnyEffect, EffectKind, EventEffect, ReleaseEffect
from models.events import CART_ITEM_ADDED
from models.operations import AddItem
from models.relays import RelayProgress
from settings import Settings
from tests.support.actors import SHOPPER
from tests.support.call_faults import CallFaults
from tests.support.shop import Shop, read_events
from tests.support.waiting import eventually
from tests.support.workers import faulty_worker_of
from workflows import ids
from workflows.gateway import CartGateway
from workflows.relay import RelayWorkflow
from workflows.upkeep.schedules import SCHEDULES

SHARDS = BUCKETS
MOST_CHOICES = 2000
GRACE = timedelta(seconds=0.5)  # as in the settings of the tests
TOO_LARGE = 2 * 1024 * 1024  # bytes; more than a producer sends

RelayHandle = WorkflowHandle[RelayWorkflow, int]


@dataclass
class RelayBench:
    """A shop whose relays run in this process."""

    shop: Shop
    faults: CallFaults
    settings: Settings
    gateway: CartGateway
    events: EventPublisher
    shard: int = 0
    _users: list[str] = field(default_factory=list)

    async def take_an_empty_shard(self) -> None:
        """Chooses a shard that is none of the stack's, and that no other test has used."""
        stack_shards = self.shop.world.settings.relay_shards
        for _ in range(MOST_CHOICES):
            first = f"user-{uuid4().hex[:12]}"
            self.shard = bucket_of(CartKey(self.shop.store_id, first)) % SHARDS
            if self.shard >= stack_shards and await self._is_unused():
                self._users.append(first)
                return
        raise AssertionError("every shard has been used by a test")

    async def _is_unused(self) -> bool:
        for kind in EffectKind:
            waiting = await Outbox().waiting(kind, shard=self.shard, shards=SHARDS)
            if waiting.records or await exists(self.handle(kind)):
                return False
        return True

    def user(self, number: int) -> str:
        """The n-th user; the carts of all these users are in one shard."""
        candidates = (f"{self._users[0]}-{n}" for n in count())
        while len(self._users) <= number:
            self._users.append(
                next(
                    user
                    for user in candidates
                    if bucket_of(CartKey(self.shop.store_id, user)) % SHARDS == self.shard
                    and user not in self._users
                )
            )
        return self._users[number]

    async def plant(
        self, effect: AnyEffect, *, user: str = "", age: timedelta = timedelta(seconds=5)
    ) -> OperationRecord:
        """A record with one pending effect, as a saga leaves it."""
        user = user or self.user(0)
        key, at = CartKey(self.shop.store_id, user), datetime.now(UTC) - age
        record = OperationRecord(
            _id=str(uuid4()),
            state="committed",
            operation=AddItem.name,
            operation_id=uuid4().hex,
            run_id=str(uuid4()),
            saga_id=f"cart-1-{user}-headphones",
            fingerprint="",
            actor=SHOPPER,
            store_id=self.shop.store_id,
            user_id=user,
            effects=[effect],
            pending=True,
            due=due_at(key, [effect], at + GRACE),
            at=at,
        )
        await record.insert()
        return record

    async def plant_event(
        self,
        version: int = 1,
        *,
        user: str = "",
        size: int = 0,
        topic: str = CART_ITEM_ADDED,
        **more: Any,
    ) -> EventEffect:
        """Stores a pending event of a cart, made `size` bytes longer."""
        user = user or self.user(0)
        value = {"storeId": self.shop.store_id, "userId": user, "version": version}
        effect = EventEffect(
            id=str(uuid4()),
            topic=topic,
            key=user,
            value=json.dumps(value | {"filling": "x" * size}),
            time=datetime.now(UTC),
        )
        await self.plant(effect, user=user, **more)
        return effect

    async def plant_release(
        self, product_id: str, *, saga_id: str, user: str = "", quantity: int = 2, **more: Any
    ) -> ReleaseEffect:
        """Stores a pending release of a hold."""
        effect = ReleaseEffect(
            id=str(uuid4()),
            product_id=product_id,
            quantity=quantity,
            saga_id=saga_id,
            reason="saga_aborted",
        )
        await self.plant(effect, user=user, **more)
        return effect

    async def wake(self, kind: EffectKind = EffectKind.EVENT) -> RelayHandle:
        await self.gateway.wake_relay(kind, self.shard, shards=SHARDS)
        return self.handle(kind)

    def handle(self, kind: EffectKind = EffectKind.EVENT) -> RelayHandle:
        """The latest run of the relay."""
        return self.shop.world.temporal.get_workflow_handle_for(
            RelayWorkflow.run, ids.relay_workflow_id(kind, self.shard)
        )

    async def effect(self, effect_id: str) -> AnyEffect:
        """An effect as it is stored now."""
        [effect] = [
            effect
            for record in await self.shop.records()
            for effect in record.effects
            if effect.id == effect_id
        ]
        return effect

    async def versions(self, user: str = "") -> list[int]:
        """The versions in a cart's events, in the order of their first delivery."""
        user = user or self.user(0)
        events = [
            event
            for event in await read_events(self.settings)
            if event.value.get("storeId") == self.shop.store_id and event.value["userId"] == user
        ]
        return list(dict.fromkeys(event.value["version"] for event in events))


async def exists(relay: RelayHandle) -> bool:
    """Whether the relay runs or has run."""
    try:
        await relay.describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def wait_for_failure(relay: RelayHandle, *, times: int = 1) -> RelayProgress:
    """Waits until the relay is in the pause after its n-th failure; its progress."""

    async def waiting() -> RelayProgress:
        assert f"try {times + 1} in " in await details(relay)
        return (await relay.query(RelayWorkflow.status)).last

    return await eventually(waiting)


async def details(run: WorkflowHandle[Any, Any]) -> str:
    """The current details that the Web UI shows for a workflow."""
    name = "__temporal_workflow_metadata"
    metadata: WorkflowMetadata = await run.query(name, result_type=WorkflowMetadata)
    return metadata.current_details


async def needs_attention(relay: RelayHandle) -> bool:
    description = await relay.describe()
    key = SearchAttributeKey.for_bool(ids.ATTENTION)
    return bool(description.typed_search_attributes.get(key))


@asynccontextmanager
async def relay_bench(shop: Shop, settings: Settings) -> AsyncIterator[RelayBench]:
    """Runs a worker that starts its own relays, on the servers in `settings`."""
    settings = settings.model_copy(
        update={"temporal_task_queue": f"relays-{uuid4().hex[:8]}", "relay_shards": SHARDS}
    )
    queue = settings.temporal_task_queue
    async with (
        faulty_worker_of(shop.world, settings, relays_at=queue) as running,
        _no_sweep(shop.world.temporal),
    ):
        bench = RelayBench(shop, running.faults, settings, running.gateway, running.events)
        await bench.take_an_empty_shard()
        yield bench
        running.faults.heal()
        for kind in EffectKind:
            with suppress(RPCError):  # most have ended
                await bench.handle(kind).terminate("its test is over")
        await OperationRecord.find({"storeId": shop.store_id}).delete()


@asynccontextmanager
async def _no_sweep(temporal: Client) -> AsyncIterator[None]:
    """Pauses the stack's sweep; there is none if no worker of the stack has run."""
    schedule = temporal.get_schedule_handle(ids.SWEEP_SCHEDULE)
    note = next(timed.note for timed in SCHEDULES if timed.schedule_id == ids.SWEEP_SCHEDULE)
    with suppress(RPCError):
        await schedule.pause(note=note)
    try:
        yield
    finally:
        with suppress(RPCError):
            await schedule.unpause(note=note)
