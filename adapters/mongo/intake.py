"""MongoDB: the holds on the intake of stores, which operators set and the API obeys."""

from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import READ_SECONDS, bounded
from models.intake import IntakeHold


class IntakeHolds:
    """Works on the documents that `adapters.mongo.client.connect` has bound.

    Raises `DependencyUnavailable` when MongoDB does not answer.
    """

    async def active(self) -> list[IntakeHold]:
        """All holds that have not ended; there are few."""
        async with bounded(READ_SECONDS):
            return await IntakeHold.find({"active": True}).sort("+at").to_list()

    async def hold(self, hold: IntakeHold) -> IntakeHold:
        """Holds a store's intake; answers the hold that there is, an earlier one if there was."""
        async with bounded(READ_SECONDS):
            try:
                return await hold.insert()
            except DuplicateKeyError:
                earlier = await IntakeHold.find_one({"storeId": hold.store_id, "active": True})
                return earlier or await hold.insert()

    async def release(
        self, store_id: str, *, by: str, reason: str, at: datetime
    ) -> IntakeHold | None:
        """Ends a store's hold and answers it; None when there is none."""
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
