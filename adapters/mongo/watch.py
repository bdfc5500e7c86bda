"""MongoDB: the state of the watch over reservations."""

from adapters.mongo.client import READ_SECONDS, bounded
from models.upkeep.watch import HoldWatch


class WatchStore:
    """The stored state. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def latest(self) -> HoldWatch | None:
        """The state after the latest look; None before the first."""
        async with bounded(READ_SECONDS):
            return await HoldWatch.find_one()

    async def keep(self, watch: HoldWatch) -> None:
        """Replaces the stored state."""
        async with bounded(READ_SECONDS):
            await watch.save()
