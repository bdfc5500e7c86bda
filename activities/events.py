"""Steps on Kafka: publish what was committed."""

import logging

from temporalio import activity

from activities.errors import as_application_error
from adapters.events import EventPublisher
from models.messages import PublishEvents

logger = logging.getLogger(__name__)


class EventActivities:
    """Activities over an `EventPublisher`."""

    def __init__(self, events: EventPublisher) -> None:
        self._events = events

    @activity.defn(name="publish_events")
    async def publish(self, request: PublishEvents) -> None:
        """Publishes in order; fails unless every event was acknowledged."""
        with as_application_error():
            await self._events.publish(request.events)
