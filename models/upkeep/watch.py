"""The state of the watch over reservations: its position and findings."""

from datetime import datetime

from beanie import Document
from pydantic import BaseModel, Field

from models.drift import DriftKind
from models.runners import Runner
from models.upkeep.reconcile import Finding, Position
from models.wire import CAMEL_CASE

HOLDS = "holds"
WATCHED = (DriftKind.ORPHANED_HOLD, DriftKind.MISSING_HOLD)


class WatchPass(BaseModel):
    """A pass over all carts in one or more looks: its start and the number of compared carts."""

    model_config = CAMEL_CASE

    began: datetime
    carts: int = 0


class WatchRunner(Runner):
    """Where a runner of a pass continues; None at its beginning."""

    position: Position | None = None


class HoldWatch(Document):
    """The state after the look that began at `at`.

    `last` is the current pass, which `runners` continue; `position` is that of the first of them,
    or None when the pass has ended.
    `whole` is the latest pass that has ended. `more` means that a look had too many suspects to
    check all of them.
    """

    model_config = CAMEL_CASE

    id: str = Field(default=HOLDS, alias="_id")  # type: ignore[assignment]
    at: datetime
    last: WatchPass
    runners: list[WatchRunner] = []
    position: Position | None = None
    whole: WatchPass | None = None
    drifts: list[Finding] = []
    more: bool = False

    class Settings:
        name = "watches"
