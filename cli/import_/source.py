"""The original service's collection of carts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.collection import AsyncCollection

COLLECTION = "carts"
SELECTION_MS = 5_000
BATCH = 500
COUNT_MS = 60_000

Carts = AsyncCollection[dict[str, Any]]


@asynccontextmanager
async def original_carts(uri: str, collection: str) -> AsyncIterator[Carts]:
    """The collection in the database that the URI names. It is only read."""
    client = AsyncMongoClient[dict[str, Any]](
        uri, appname="cart-import", tz_aware=True, serverSelectionTimeoutMS=SELECTION_MS
    )
    try:
        database = client.get_default_database()
        yield database.get_collection(collection, read_preference=ReadPreference.PRIMARY_PREFERRED)
    finally:
        await client.close()


def of_store(store_id: str | None) -> dict[str, Any]:
    """A filter for the carts of a store, whose id may be stored as text or as an ObjectId."""
    if store_id is None:
        return {}
    ids: list[Any] = [store_id]
    if ObjectId.is_valid(store_id):
        ids.append(ObjectId(store_id))
    return {"storeId": {"$in": ids}}


async def count(carts: Carts, wanted: dict[str, Any]) -> int:
    """The number of carts, for the progress."""
    return await carts.count_documents(wanted, maxTimeMS=COUNT_MS)


async def documents(carts: Carts, wanted: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """All carts by one cursor. Not by pages after an id: ids of another type would be left out."""
    async with carts.find(wanted, batch_size=BATCH).sort("_id") as cursor:
        async for document in cursor:
            yield document
