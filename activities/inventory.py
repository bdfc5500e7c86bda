"""Steps on the Inventory Service: reserve, and its undo, release."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from temporalio import activity

from activities.errors import as_application_error
from adapters.inventory import InventoryClient
from adapters.mongo.outbox import Outbox
from adapters.redis.stock_cache import StockCache
from models.errors import DependencyTimeout, DependencyUnavailable
from models.steps import HoldAnswer, ReleaseHolds, ReserveHold
from telemetry.metrics import NOT_RESERVED, RESERVED

# While a saga holds its cart it does not wait for a slow inventory to take a hold back.
INLINE_RELEASE_SECONDS = 1.0


class InventoryActivities:
    """Activities over an `InventoryClient`; the `Outbox` notes what need not be done again.

    What is released is dropped from the `StockCache` here, what is reserved together with the cart
    that is shown (`CartActivities.commit`), so that the caller need not wait for it.
    """

    def __init__(self, inventory: InventoryClient, outbox: Outbox, stock: StockCache) -> None:
        self._inventory = inventory
        self._outbox = outbox
        self._stock = stock

    @activity.defn(name="reserve_hold")
    async def reserve(self, hold: ReserveHold) -> HoldAnswer:
        """Reserves units; after a timeout it is not tried again, the caller has waited enough."""
        with as_application_error(final=(DependencyTimeout,)):
            return await self.hold(hold)

    async def hold(self, hold: ReserveHold) -> HoldAnswer:
        """Reserves units, as a part of a step; raises `DependencyUnavailable`."""
        with _counted():
            answer = await self._inventory.reserve(hold)
        if answer.granted:
            RESERVED.add(1)
        else:
            NOT_RESERVED.add(1, {"error": "insufficient_stock"})
        return answer

    @activity.defn(name="release_holds")
    async def release(self, request: ReleaseHolds) -> None:
        """Gives holds back, all at once; fails unless each was accepted and noted."""
        with as_application_error():
            await asyncio.gather(
                *(
                    self._inventory.release(
                        request.store_id,
                        request.user_id,
                        release,
                        timeout=INLINE_RELEASE_SECONDS,
                    )
                    for release in request.releases
                )
            )
            done = tuple(release.id for release in request.releases)
            await asyncio.gather(
                self._outbox.mark_done(request.run_id, done, datetime.now(UTC), lasting=False),
                self._stock.drop(
                    request.store_id, {release.product_id for release in request.releases}
                ),
            )


@contextmanager
def _counted() -> Iterator[None]:
    """Counts a reserve that got no answer."""
    try:
        yield
    except DependencyUnavailable as error:
        why = "timeout" if isinstance(error, DependencyTimeout) else "unavailable"
        NOT_RESERVED.add(1, {"error": why})
        raise
