"""What reconciling has found, as it is stored: a run's result has only counts."""

from datetime import datetime

from beanie import Document
from pydantic import Field
from pymongo import IndexModel

from models.drift import Drift
from models.wire import CAMEL_CASE

FINDINGS_KEPT_SECONDS = 7 * 24 * 3600


class CartFindings(Document):
    """The drifts of a cart that a run has found under the cart's lock.

    `run` is the id of the run's first execution, `record_id` that of the saga that looked.
    """

    model_config = CAMEL_CASE

    id: str = Field(alias="_id")  # type: ignore[assignment]
    run: str
    store_id: str
    user_id: str
    record_id: str
    drifts: list[Drift]
    at: datetime

    class Settings:
        name = "findings"
        indexes = [
            IndexModel(["run", "storeId", "userId"], name="by_run"),
            IndexModel(["at"], name="by_time", expireAfterSeconds=FINDINGS_KEPT_SECONDS),
        ]
