"""Steps on the Inventory Service: reserve, and its undo, release."""

import asyncio

from temporalio import activity

from activities.errors import as_application_error
from adapters.inventory import InventoryClient
from models.errors import DependencyTimeout
from models.messages import HoldAnswer, ReleaseHolds, ReserveHold

# While a saga holds its cart it does not wait for a slow inventory to take a hold back.
INLINE_RELEASE_SECONDS = 1.0


class InventoryActivities:
    """Activities over an `InventoryClient`."""

    def __init__(self, inventory: InventoryClient) -> None:
        self._inventory = inventory

    @activity.defn(name="reserve_hold")
    async def reserve(self, hold: ReserveHold) -> HoldAnswer:
        """Reserves units; after a timeout it is not tried again, the caller has waited enough."""
        with as_application_error(final=(DependencyTimeout,)):
            return await self._inventory.reserve(hold)

    @activity.defn(name="release_holds")
    async def release(self, request: ReleaseHolds) -> None:
        """Gives holds back, all at once; fails unless the inventory has accepted each."""
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
