"""The record of an operation: its one outcome, its answer, and the outbox of its effects."""

import zlib
from datetime import datetime
from typing import Literal

from beanie import Document
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pymongo import ASCENDING, IndexModel

from models.messages import AnyEffect

KEPT_SECONDS = 90 * 24 * 3600
"""How long the record of an operation is kept: so long is its idempotency key remembered. One with
an effect still to do is kept until that is done, however long it takes."""


class Answer(BaseModel):
    """What the client was told: HTTP status and the exact JSON text of the body."""

    status: int
    body: str


def shard_key(store_id: str, user_id: str) -> int:
    """A stable 32-bit hash of a cart: all its effects are one relay's work."""
    return zlib.crc32(f"{store_id}/{user_id}".encode())


class Operation(Document):
    """The outcome of one run; there is never more than one for a run.

    `committed` records are unique by `operation_id`, so that of all the runs that try one
    operation at most one commits. `pending` is true while an effect has no `done_at`. `moved` is
    how many units of each product came into the cart, or (negative) out of it.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    id: str = Field(alias="_id")  # type: ignore[assignment]  # the Temporal run id
    state: Literal["committed", "aborted"]
    operation: str
    operation_id: str
    saga_id: str
    fingerprint: str
    store_id: str
    user_id: str
    cart_id: str | None = None
    version: int | None = None
    answer: Answer | None = None
    reason: str | None = None
    moved: dict[str, int] = {}
    effects: list[AnyEffect] = []
    pending: bool
    shard_key: int  # of the cart, see `shard_key`; a relay takes those of its remainder
    at: datetime

    class Settings:
        name = "operations"
        indexes = [
            IndexModel(
                [("operationId", ASCENDING)],
                unique=True,
                name="one_commit_per_operation",
                partialFilterExpression={"state": "committed"},
            ),
            IndexModel([("operationId", ASCENDING), ("at", ASCENDING)], name="by_operation"),
            IndexModel([("cartId", ASCENDING)], name="by_cart"),
            IndexModel(
                [("storeId", ASCENDING), ("userId", ASCENDING), ("at", ASCENDING)],
                name="pending_by_cart",
                partialFilterExpression={"pending": True},
            ),
            IndexModel(
                [("at", ASCENDING)],
                name="pending_by_time",
                partialFilterExpression={"pending": True},
            ),
            IndexModel(
                [("at", ASCENDING)],
                name="done_by_time",
                partialFilterExpression={"pending": False},
                expireAfterSeconds=KEPT_SECONDS,
            ),
            IndexModel(
                [("at", ASCENDING)],
                name="ended_carts_by_time",
                partialFilterExpression={"operation": "ClearCart"},
            ),
        ]
