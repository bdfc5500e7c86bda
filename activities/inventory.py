"""Steps on the Inventory Service: reserve units, and its undo, release."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from temporalio import activity

from activities.errors import as_application_error
from adapters.bounded_cache import BoundedCache
from adapters.inventory import InventoryClient
from adapters.mongo.operations import OperationStore
from adapters.mongo.outbox import Outbox
from adapters.mongo.stores import StoreRegistry
from adapters.redis.stock_cache import StockCache
from models.errors import DependencyTimeout, DependencyUnavailable, NotSent
from models.steps import DoEffects, Reservation, ReserveInventory
from telemetry.metrics import NOT_RESERVED, RESERVED

# A saga blocks its cart, so it does not wait longer for a slow inventory. A relay does.
INLINE_RELEASE_SECONDS = 1.0
UNSENT_KEPT = 1000


class InventoryActivities:
    """Activities on an `InventoryClient`. The `Outbox` records releases that are done.

    A release deletes its products from the `StockCache`. `refresh_cache` deletes reserved ones.
    """

    def __init__(
        self,
        inventory: InventoryClient,
        operations: OperationStore,
        outbox: Outbox,
        stock: StockCache,
        stores: StoreRegistry,
    ) -> None:
        self._inventory = inventory
        self._operations = operations
        self._outbox = outbox
        self._stock = stock
        self._stores = stores
        # (saga, product) -> tries of the step so far, none of which was sent.
        self._unsent: BoundedCache[tuple[str, str], int] = BoundedCache(max_size=UNSENT_KEPT)

    @activity.defn(name="transfer_inventory")
    async def transfer_inventory(self, request: ReserveInventory) -> Reservation:
        """Moves units from the holds of one user to another; undone by `release_inventory`."""
        with as_application_error(final=(DependencyTimeout,)):
            return await self._reserve(request)

    @activity.defn(name="reserve_inventory")
    async def reserve_inventory(self, request: ReserveInventory) -> Reservation:
        """Reserves units. A timeout is not retried: the caller has waited long enough."""
        with as_application_error(final=(DependencyTimeout,)):
            await self._stores.register(request.store_id)
            with _counted():
                reservation = await self._reserve(request)
        if reservation.refused_as is None:
            RESERVED.add(1)
        else:
            NOT_RESERVED.add(1, {"error": reservation.refused_as.value})
        return reservation

    async def _reserve(self, request: ReserveInventory) -> Reservation:
        """Reserves, and finds out whether any try of the step can have reserved something.

        Raises `NotSent` only when no try was sent.
        """
        key, attempt = (request.saga_id, request.product_id), activity.info().attempt
        none_sent = attempt == 1 or self._unsent.pop(key, None) == attempt - 1
        try:
            call = self._inventory.reserve
            if request.from_user_id is not None:
                call = self._inventory.transfer
            reservation = await call(request)
        except NotSent as error:
            if not none_sent:
                raise DependencyUnavailable(error.dependency, error.detail) from error
            self._unsent.keep(key, attempt)
            raise
        if reservation.granted or not none_sent:
            return reservation
        return reservation.model_copy(update={"nothing_held": True})

    @activity.defn(name="release_inventory")
    async def release_inventory(self, request: DoEffects) -> None:
        """Does the pending releases of a saga's record; fails unless all are accepted."""
        saga = request.saga
        with as_application_error():
            record = (await self._operations.decision(saga)).record
            releases = record.pending_releases
            await asyncio.gather(
                *(
                    self._inventory.release(
                        saga.store_id, saga.user_id, release, timeout=INLINE_RELEASE_SECONDS
                    )
                    for release in releases
                )
            )
            await asyncio.gather(
                self._outbox.mark_done(record, releases, datetime.now(UTC), lasting=False),
                self._stock.drop(saga.store_id, {one.product_id for one in releases}),
            )


@contextmanager
def _counted() -> Iterator[None]:
    """Counts reservations without an answer."""
    try:
        yield
    except DependencyUnavailable as error:
        reason = "timeout" if isinstance(error, DependencyTimeout) else "unavailable"
        NOT_RESERVED.add(1, {"error": reason})
        raise
