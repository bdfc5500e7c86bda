"""The watch over holds: how far it is, and what it has found."""

from datetime import datetime

from beanie import Document
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from models.messages import DriftKind
from models.upkeep.reconcile import Finding, Position

HOLDS = "holds"
WATCHED = (DriftKind.ORPHANED_HOLD, DriftKind.MISSING_HOLD)
_camel = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class WatchPass(BaseModel):
    """A pass over all carts, in one look or in several: when it began, and how many it has
    compared."""

    model_config = _camel

    began: datetime
    carts: int = 0


class HoldWatch(Document):
    """What was known when the look that began at `at` had ended.

    `last` is the pass that this look was of, which goes on at `position`, or has ended when there
    is none; `whole` is the last pass that has ended. `more`: too much looked wrong to look at all
    of it.
    """

    model_config = _camel

    id: str = Field(default=HOLDS, alias="_id")  # type: ignore[assignment]
    at: datetime
    last: WatchPass
    position: Position | None = None
    whole: WatchPass | None = None
    drifts: list[Finding] = []
    more: bool = False

    class Settings:
        name = "watches"
