"""MongoDB: what has changed a cart, from the records of its operations."""

from datetime import datetime

from pydantic import BaseModel, Field

from adapters.mongo.client import LIST_SECONDS, bounded, in_cart
from models.actor import Actor
from models.cart import CartKey
from models.cart_line import LineChange
from models.documents import OperationRecord
from models.operations import RepairCart
from models.wire import CAMEL_CASE


class PastChange(BaseModel):
    """What a record says of the change that made a version of a cart."""

    model_config = CAMEL_CASE

    record_id: str = Field(alias="_id")
    version: int
    at: datetime
    operation: str
    operation_id: str
    run_id: str
    saga_id: str
    actor: Actor
    reason: str | None = None
    lines: list[LineChange] = []


class CartHistory:
    """Reads of past changes. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def changes(
        self, cart_id: str, key: CartKey, *, before: int | None, limit: int
    ) -> list[PastChange]:
        """The changes that made the versions of a cart, the newest first.

        `before` is the version after the first one to return; None returns the newest. A repair has
        the version that it found, and is left out: it changes no cart.
        """
        versions = {"$gt": 0} if before is None else {"$gt": 0, "$lt": before}
        wanted = {
            "cartId": cart_id,
            "version": versions,
            "state": "committed",
            "operation": {"$ne": RepairCart.name},
        }
        async with bounded(LIST_SECONDS):
            found = OperationRecord.find(wanted | in_cart(key)).sort("-version").limit(limit)
            return await found.project(PastChange).to_list()
