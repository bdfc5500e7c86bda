"""The same steps as the saga's, in process and one after the other, as a service without Temporal
would do them: a lock in Redis, reserve, one transaction, cache, event, unlock.

It keeps none of the saga's promises: whatever dies in the middle leaves what it has done so far.
"""

from datetime import UTC, datetime
from uuid import uuid4

from redis.asyncio import Redis

from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.carts import CartStore
from adapters.mongo.outbox import Outbox
from adapters.redis.cart_cache import CartCache
from models.messages import AddItemInput, AddLine, SagaRun
from models.operation import Answer, Operation
from models.steps import CommitChange, ReserveHold
from settings import Settings
from workflows import ids

_UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class DirectAdd:
    """Adds an item without a workflow."""

    def __init__(
        self,
        settings: Settings,
        *,
        carts: CartStore,
        inventory: InventoryClient,
        cache: CartCache,
        events: EventPublisher,
    ) -> None:
        self._carts = carts
        self._inventory = inventory
        self._cache = cache
        self._events = events
        self._outbox = Outbox()
        self._lock_ms = round(settings.lock_ttl * 1000)
        self._redis = Redis.from_url(settings.redis.get_secret_value())
        self._unlock = self._redis.register_script(_UNLOCK)

    async def close(self) -> None:
        await self._redis.aclose()

    async def add(self, request: AddItemInput) -> Operation:
        """The record of the add, with its answer; raises `RuntimeError` when it cannot be done."""
        key, token = f"lock:{request.store_id}:{request.user_id}", uuid4().hex
        if not await self._redis.set(key, token, nx=True, px=self._lock_ms):
            raise RuntimeError("the cart is busy")
        try:
            return await self._steps(request)
        finally:
            await self._unlock(keys=[key], args=[token])

    async def _steps(self, request: AddItemInput) -> Operation:
        started_at = datetime.now(UTC)
        run = SagaRun(
            run_id=str(uuid4()),
            saga_id=ids.saga_id(started_at, request.user_id, request.product_id),
            started_at=started_at,
            operation=ids.ADD_ITEM,
            operation_id=request.operation_id,
            fingerprint=request.fingerprint,
            store_id=request.store_id,
            user_id=request.user_id,
        )
        hold = await self._inventory.reserve(
            ReserveHold(
                store_id=request.store_id,
                product_id=request.product_id,
                user_id=request.user_id,
                saga_id=run.saga_id,
                quantity=request.quantity,
            )
        )
        if not hold.granted:
            raise RuntimeError("insufficient stock")
        pivot = await self._carts.commit(
            CommitChange(
                run=run,
                policy=request.policy,
                change=AddLine(request=request),
            )
        )
        changed = pivot.new
        if changed is None or changed.cart is None:
            raise RuntimeError("the cart was changed meanwhile")
        await self._cache.put(
            request.store_id,
            request.user_id,
            created_at=changed.cart.created_at,
            version=changed.version,
            body=changed.body,
        )
        await self._events.publish([e for e in pivot.record.effects if e.kind == "event"])
        return pivot.record

    async def note(self, record: Operation) -> None:
        """Marks the events as published, so that no relay does it again. Not part of the add."""
        done = tuple(effect.id for effect in record.effects)
        await self._outbox.mark_done(record.id, done, datetime.now(UTC))


def answer_of(record: Operation) -> Answer:
    """The answer for the client."""
    if record.answer is None:
        raise RuntimeError(f"run {record.id} has no answer")
    return record.answer
