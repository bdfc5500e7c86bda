"""MongoDB: whether the indexes of the documents exist as they should."""

from dataclasses import dataclass, field
from typing import Any

from pymongo import IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from adapters.mongo.client import DOCUMENTS

_UNSET = object()


@dataclass(slots=True)
class IndexComparison:
    """The indexes, as `collection.name`, that do not exist or are not as in the code."""

    missing: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    wanted: int = 0


async def compare_indexes(database: AsyncDatabase[dict[str, Any]]) -> IndexComparison:
    """Compares the indexes of a database with those that the documents declare."""
    found = IndexComparison()
    for document in DOCUMENTS:
        collection = document.Settings.name
        there = await database[collection].index_information()
        for index in document.Settings.indexes:
            found.wanted += 1
            name = str(index.document["name"])
            if name not in there:
                found.missing.append(f"{collection}.{name}")
            elif not _is_same(index, there[name]):
                found.different.append(f"{collection}.{name}")
    return found


def _is_same(index: IndexModel, there: Any) -> bool:
    wanted = index.document
    return list(wanted["key"].items()) == list(there["key"]) and all(
        wanted.get(option, _UNSET) == there.get(option, _UNSET)
        for option in ("unique", "expireAfterSeconds", "partialFilterExpression")
    )
