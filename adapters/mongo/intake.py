"""MongoDB: stores that operators have paused. The API rejects changes of their carts."""

from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import READ_SECONDS, bounded
from models.intake import IntakeHold


class IntakeHolds:
    """Paused stores. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def active(self) -> list[IntakeHold]:
        """The stores that are paused now; there are few."""
        async with bounded(READ_SECONDS):
            return await IntakeHold.find({"active": True}).sort("+at").to_list()

    async def hold(self, hold: IntakeHold) -> IntakeHold:
        """Pauses a store; returns the active pause, which may be an earlier one."""
        async with bounded(READ_SECONDS):
            try:
                return await hold.insert()
            except DuplicateKeyError:
                earlier = await IntakeHold.find_one({"storeId": hold.store_id, "active": True})
                return earlier or await hold.insert()

    async def release(
        self, store_id: str, *, by: str, reason: str, at: datetime
    ) -> IntakeHold | None:
        """Resumes a store; returns the ended pause, or None if the store was not paused."""
        ended = {
            "active": False,
            "releasedBy": by,
            "releasedBecause": reason,
            "releasedAt": at,
        }
        async with bounded(READ_SECONDS):
            found = await IntakeHold.get_pymongo_collection().find_one_and_update(
                {"storeId": store_id, "active": True},
                {"$set": ended},
                return_document=ReturnDocument.AFTER,
            )
        return IntakeHold.model_validate(found) if found else None
