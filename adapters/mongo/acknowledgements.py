"""MongoDB: runs that operators have acknowledged."""

from collections.abc import Collection

from adapters.mongo.client import READ_SECONDS, bounded
from models.acknowledgement import Acknowledgement


class Acknowledgements:
    """Acknowledged runs. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def add(self, acknowledgement: Acknowledgement) -> None:
        """Stores an acknowledgement, in the place of an earlier one of the run."""
        async with bounded(READ_SECONDS):
            await acknowledgement.save()

    async def of(self, run_ids: Collection[str]) -> dict[str, Acknowledgement]:
        """Those of these runs, by the run's id."""
        if not run_ids:
            return {}
        async with bounded(READ_SECONDS):
            found = await Acknowledgement.find({"_id": {"$in": [*run_ids]}}).to_list()
        return {one.id: one for one in found}
