"""What a process knows of the systems it calls, for `cart doctor`.

Metrics have the numbers, and no names: a metric's labels must have few values. A report names what
fails: a product, a cart, an event.
"""

from datetime import datetime

from beanie import Document
from pydantic import BaseModel, Field
from pymongo import IndexModel

from models.wire import CAMEL_CASE

KEPT_SECONDS = 600
MOST_NAMED = 20


class FailingSubject(BaseModel):
    """What calls keep failing for: `failures` in a row, the first `for_seconds` ago."""

    model_config = CAMEL_CASE

    subject: str
    reason: str
    failures: int
    for_seconds: float


class CallReport(BaseModel):
    """One kind of call of a process.

    `now_seconds` is its mean duration in the last half minute, `usual_seconds` in the hour before
    that; None when it is not known. `down` is why its circuit is open, `refused` why the system has
    lately refused it. `failing` names at most
    `MOST_NAMED` of the `failing_subjects`, those that have failed the longest first.
    """

    model_config = CAMEL_CASE

    dependency: str
    call: str
    now_seconds: float | None = None
    usual_seconds: float | None = None
    down: str | None = None
    refused: str | None = None
    failing: list[FailingSubject] = []
    failing_subjects: int = 0


class ProcessReport(Document):
    """The latest report of a process; its id is the process, host and pid."""

    model_config = CAMEL_CASE

    id: str = Field(alias="_id")  # type: ignore[assignment]
    process: str
    at: datetime
    calls: list[CallReport]

    class Settings:
        name = "processReports"
        indexes = [IndexModel(["at"], name="by_time", expireAfterSeconds=KEPT_SECONDS)]
