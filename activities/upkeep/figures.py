"""The step that measures the business figures."""

from datetime import datetime

from temporalio import activity

from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.mongo.figures import FigureStore
from models.wire import to_json


class FigureActivities:
    """Activities on a `FigureStore`."""

    def __init__(self, figures: FigureStore) -> None:
        self._figures = figures

    @activity.defn(name="measure_business")
    async def measure(self, at: datetime) -> str:
        """Measures and stores the figures; returns them as JSON text, for the Web UI."""
        async with heartbeats():
            with as_application_error():
                figures = await self._figures.measure(at)
                await self._figures.keep(figures)
        return to_json(figures).decode()
