"""When a consumed event that fails is parked instead of tried again."""

import time

from models.errors import EventUnusable, OperationAborted, OperationInProgress
from models.outcomes import AbortReason

UNFORESEEN_TRIES = 5
WAIT_SECONDS = 600.0
"""How long a message waits for its cart, or for an inventory that does not reserve what it needs.

An operation holds its cart for seconds, or for as long as a failover or a release takes; after
that, only an operator can free it. Until the message is done or parked, each restart reads the
partition again from it on."""


class EventFailures:
    """The failed tries of one message, and whether another one makes sense."""

    def __init__(self) -> None:
        self._unforeseen = 0
        self._since: float | None = None

    def passing(self, problem: Exception) -> EventUnusable | None:
        """Why the message is parked, if it has waited too long for its cart or the inventory."""
        code = _waits_for(problem)
        if code is None:
            self._since = None
            return None
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since < WAIT_SECONDS:
            return None
        return EventUnusable(
            code, f"not possible for {WAIT_SECONDS:.0f} s: {problem}; it can be replayed"
        )

    def unforeseen(self, error: Exception) -> EventUnusable | None:
        """Why the message is parked, if it has failed too often."""
        self._unforeseen += 1
        if self._unforeseen < UNFORESEEN_TRIES:
            return None
        return EventUnusable("failed", f"{self._unforeseen} tries, the last: {error!r}")


def _waits_for(problem: Exception) -> str | None:
    """The code of a problem that may be about one message, and so is waited out for a limited time.

    The inventory may refuse one product only. Without Temporal or MongoDB, no message can be done.
    """
    if isinstance(problem, OperationInProgress):
        return "cart_busy"
    unavailable = AbortReason.INVENTORY_UNAVAILABLE
    if isinstance(problem, OperationAborted) and problem.reason == unavailable:
        return unavailable.value
    return None
