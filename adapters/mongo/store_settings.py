"""MongoDB: what stores set for themselves."""

from collections.abc import Collection
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded
from models.store_settings import StoredSettings, StoreSettings


class StoreSettingsStore:
    """Settings by store. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def read(self, store_id: str) -> StoredSettings | None:
        """The settings of a store; None when it has never set any."""
        async with bounded(READ_SECONDS):
            return await StoredSettings.get(store_id)

    async def read_all(self, store_ids: Collection[str]) -> list[StoredSettings]:
        """The settings of those of these stores that have ever set any."""
        async with bounded(READ_SECONDS):
            return await StoredSettings.find({"_id": {"$in": [*store_ids]}}).to_list()

    async def page(self, *, after: str, limit: int) -> list[StoredSettings]:
        """The settings of the next stores after a store's id, by id."""
        async with bounded(LIST_SECONDS):
            found = StoredSettings.find({"_id": {"$gt": after}}).sort("+_id").limit(limit)
            return await found.to_list()

    async def write(
        self,
        store_id: str,
        settings: StoreSettings,
        *,
        by: str,
        at: datetime,
        version: int | None = None,
    ) -> StoredSettings | None:
        """Replaces the settings of a store; returns them as they are stored.

        With `version` only while they still have it (0: there are none); else returns None.
        """
        wanted = {"_id": store_id} | ({} if version is None else {"version": version})
        changed = {
            "settings": settings.model_dump(by_alias=True, exclude_none=True),
            "by": by,
            "at": at,
        }
        async with bounded(READ_SECONDS):
            try:
                found = await StoredSettings.get_pymongo_collection().find_one_and_update(
                    wanted,
                    {"$set": changed, "$inc": {"version": 1}},
                    upsert=not version,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:  # `version` is 0, and there are some
                return None
        return StoredSettings.model_validate(found) if found else None
