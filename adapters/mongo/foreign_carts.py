"""MongoDB: carts of another service in our collection.

The original Node.js service keeps carts in a collection of the same name. Their ids are ObjectIds,
they have no currency, and an index deletes each at `expireAt`, which would leak its reservations.
"""

from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from models.documents import Cart

LOOKED_AT = 100
"""How many of the oldest carts and of the latest are looked at: a scan of all takes too long."""


async def foreign_carts(database: AsyncDatabase[dict[str, Any]]) -> list[str]:
    """What in the collection of carts is not of this service: indexes and fields, in words."""
    carts = database[Cart.Settings.name]
    found = []
    for name, index in (await carts.index_information()).items():
        if [field for field, _ in index["key"]] == ["userId", "storeId"]:
            found.append(f"index {name} on userId and storeId")
        if index.get("expireAfterSeconds") == 0:
            found.append(f"index {name} that deletes carts at their {index['key'][0][0]}")
    fields: dict[str, None] = {}
    for direction in (ASCENDING, DESCENDING):
        async for cart in carts.find().sort("_id", direction).limit(LOOKED_AT):
            fields |= dict.fromkeys(_unlike_ours(cart))
    return found + list(fields)


def _unlike_ours(cart: dict[str, Any]) -> list[str]:
    missing = [f"carts without {name}" for name in ("currency", "bucket") if name not in cart]
    ids = [
        f"carts whose {name} is a {type(cart[name]).__name__}"
        for name in ("userId", "storeId")
        if name in cart and not isinstance(cart[name], str)
    ]
    return missing + ids
