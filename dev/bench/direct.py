"""The steps of an add in process, as a service without Temporal would run them: a lock in Redis,
reserve, one transaction, cache, event, unlock.

A crash leaves the steps so far in place: nothing completes or undoes them.
"""

from datetime import UTC, datetime
from uuid import uuid4

from redis.asyncio import Redis

from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.keyring import Keyring
from adapters.mongo.carts import CartStore
from adapters.mongo.operations import Decision, OperationStore
from adapters.mongo.outbox import Outbox
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from models.cart import cart_json
from models.documents import OperationRecord
from models.effects import EventEffect
from models.operations import AddItem
from models.outcomes import Outcome
from models.steps import PersistCart, ReserveInventory
from settings import Settings
from workflows import ids


class DirectAdd:
    """Adds an item without a workflow."""

    def __init__(self, settings: Settings, carts: CartStore) -> None:
        """With connections of its own, and that to MongoDB."""
        self._carts = carts
        keyring = Keyring(settings.secrets_of_data)
        self._operations = OperationStore(carts.client, keyring)
        self._outbox = Outbox()
        self._inventory = InventoryClient.of(settings)
        self._pool = RedisPool(settings.redis)
        self._cache = CartCache(self._pool, keyring, ttl_seconds=settings.cart_cache_ttl)
        self._events = EventPublisher(settings)
        self._redis = Redis.from_url(settings.redis.get_secret_value())
        self._lock_seconds = settings.lock_ttl

    async def aclose(self) -> None:
        await self._redis.aclose()
        for opened in (self._events, self._pool, self._inventory, self._carts):
            await opened.close()

    async def add(self, request: AddItem) -> Decision:
        """Returns the record of the add with its answer; raises an error if it fails."""
        name = f"lock:{request.store_id}:{request.user_id}"
        async with self._redis.lock(name, timeout=self._lock_seconds, blocking=False):
            return await self._steps(request)

    async def _steps(self, request: AddItem) -> Decision:
        saga = ids.saga_of(request, run_id=str(uuid4()), started_at=datetime.now(UTC))
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
        decision = await self._operations.decision(saga)
        record, cart = decision.record, decision.cart
        if cart is None:
            raise RuntimeError("the cart is gone")
        body = cart_json(cart.id, cart)
        await self._cache.put(request.key, version=cart.version, body=body)
        await self._events.publish([e for e in record.effects if isinstance(e, EventEffect)])
        return decision

    async def note(self, record: OperationRecord) -> None:
        """Marks the events as published, so that no relay publishes them. Not part of the add."""
        await self._outbox.mark_done(record, record.effects, datetime.now(UTC))
