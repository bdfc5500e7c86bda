"""The steps of an add in process, as a service without Temporal would run them: a lock in Redis,
reserve, one transaction, cache, event, unlock.

A crash leaves the steps so far in place: nothing completes or undoes them.
"""

from datetime import UTC, datetime
from uuid import uuid4

from redis.asyncio import Redis

from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.operations import OperationStore
from adapters.mongo.outbox import Outbox
from adapters.redis.cart_cache import CartCache
from models.cart import cart_json
from models.documents import OperationRecord
from models.effects import EventEffect
from models.operations import AddItem
from models.outcomes import Outcome
from models.steps import PersistCart, ReserveInventory
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
        operations: OperationStore,
        inventory: InventoryClient,
        cache: CartCache,
        events: EventPublisher,
    ) -> None:
        self._operations = operations
        self._inventory = inventory
        self._cache = cache
        self._events = events
        self._outbox = Outbox()
        self._lock_ms = round(settings.lock_ttl * 1000)
        self._redis = Redis.from_url(settings.redis.get_secret_value())
        self._unlock = self._redis.register_script(_UNLOCK)

    async def close(self) -> None:
        await self._redis.aclose()

    async def add(self, request: AddItem) -> OperationRecord:
        """Returns the record of the add with its answer; raises `RuntimeError` if it fails."""
        key, token = f"lock:{request.store_id}:{request.user_id}", uuid4().hex
        if not await self._redis.set(key, token, nx=True, px=self._lock_ms):
            raise RuntimeError("the cart is busy")
        try:
            return await self._steps(request)
        finally:
            await self._unlock(keys=[key], args=[token])

    async def _steps(self, request: AddItem) -> OperationRecord:
        started_at = datetime.now(UTC)
        saga = ids.saga_run(
            run_id=str(uuid4()),
            started_at=started_at,
            operation=request.name,
            operation_id=request.operation_id,
            subject=request.subject,
            fingerprint=request.fingerprint,
            store_id=request.store_id,
            user_id=request.user_id,
        )
        hold = await self._inventory.reserve(
            ReserveInventory(
                store_id=request.store_id,
                product_id=request.product_id,
                user_id=request.user_id,
                saga_id=saga.saga_id,
                quantity=request.quantity,
            )
        )
        if not hold.granted:
            raise RuntimeError("insufficient stock")
        result = await self._operations.persist(PersistCart(saga=saga, operation=request))
        if result.outcome is not Outcome.COMMITTED:
            raise RuntimeError(f"the add ended {result.outcome}")
        record, cart = await self._operations.decision(saga)
        if cart is None:
            raise RuntimeError("the cart is gone")
        body = cart_json(cart.id, cart)
        await self._cache.put(request.key, version=cart.version, body=body)
        await self._events.publish([e for e in record.effects if isinstance(e, EventEffect)])
        return record

    async def note(self, record: OperationRecord) -> None:
        """Marks the events as published, so that no relay publishes them. Not part of the add."""
        done = [effect.id for effect in record.effects]
        await self._outbox.mark_done(record.id, done, datetime.now(UTC))
