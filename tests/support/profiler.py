"""What MongoDB's profiler notes of commands."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from beanie import Document


@asynccontextmanager
async def profiled(documents: Collection[type[Document]]) -> AsyncIterator[list[dict[str, Any]]]:
    """The entries of all commands inside on the collections of documents, of every process.

    The list is filled when the block has ended.
    """
    [database] = {document.get_pymongo_collection().database for document in documents}
    spaces = [f"{database.name}.{document.get_collection_name()}" for document in documents]
    entries: list[dict[str, Any]] = []
    began = datetime.now(UTC)
    await database.command("profile", 2, filter={"ns": {"$in": spaces}})
    try:
        yield entries
    finally:
        await database.command("profile", 0)
    found = database["system.profile"].find({"ns": {"$in": spaces}, "ts": {"$gte": began}})
    entries += [entry async for entry in found]
