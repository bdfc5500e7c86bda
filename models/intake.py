"""Paused stores: the API rejects changes of their carts until an operator resumes them."""

from datetime import datetime

from beanie import Document
from pydantic import Field
from pymongo import IndexModel

from models.wire import CAMEL_CASE

RETRY_AFTER_SECONDS = 30


class IntakeHold(Document):
    """A pause of a store: the operator, start and reason. Ended pauses are kept for audits."""

    model_config = CAMEL_CASE

    store_id: str
    active: bool = True
    by: str
    reason: str
    at: datetime
    retry_after_seconds: int = Field(RETRY_AFTER_SECONDS, ge=1, le=86_400)
    released_by: str | None = None
    released_because: str | None = None
    released_at: datetime | None = None

    class Settings:
        name = "intakeHolds"
        indexes = [
            IndexModel(
                ["storeId"],
                unique=True,
                name="one_active_by_store",
                partialFilterExpression={"active": True},
            ),
        ]
