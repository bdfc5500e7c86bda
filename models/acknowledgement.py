"""Operators' acknowledgements of runs that failed or were terminated."""

from datetime import datetime

from beanie import Document
from pydantic import Field
from pymongo import IndexModel

from models.wire import CAMEL_CASE

KEPT_SECONDS = 90 * 24 * 3600
REASON_CHARACTERS = 500


class Acknowledgement(Document):
    """An operator has looked at a run: it needs no more attention. Kept for 90 days."""

    model_config = CAMEL_CASE

    id: str = Field(alias="_id")  # type: ignore[assignment]  # the run's id
    store_id: str | None
    user_id: str | None
    by: str = Field(max_length=REASON_CHARACTERS)
    reason: str = Field(max_length=REASON_CHARACTERS)
    at: datetime

    class Settings:
        name = "acknowledgements"
        indexes = [IndexModel(["at"], name="by_time", expireAfterSeconds=KEPT_SECONDS)]
