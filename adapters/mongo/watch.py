"""MongoDB: what the watch over holds knows.

It works on the documents that `adapters.mongo.client.connect` has bound.
"""

from adapters.mongo.client import READ_SECONDS, bounded
from models.upkeep.watch import HoldWatch


class WatchStore:
    """Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def latest(self) -> HoldWatch | None:
        """What is known; None before the first look."""
        async with bounded(READ_SECONDS):
            return await HoldWatch.find_one()

    async def keep(self, watch: HoldWatch) -> None:
        """Replaces what was known."""
        async with bounded(READ_SECONDS):
            await watch.save()
