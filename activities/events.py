"""Steps on Kafka: publish what was committed."""

from datetime import UTC, datetime

from temporalio import activity

from activities.errors import as_application_error
from adapters.events import EventPublisher
from adapters.outbox import Outbox
from models.messages import PublishEvents


class EventActivities:
    """Activities over an `EventPublisher`; the `Outbox` notes what need not be done again."""

    def __init__(self, events: EventPublisher, outbox: Outbox) -> None:
        self._events = events
        self._outbox = outbox

    @activity.defn(name="publish_events")
    async def publish(self, request: PublishEvents) -> None:
        """Publishes in order; fails unless every event was acknowledged and noted."""
        with as_application_error():
            await self._events.publish(request.events)
            await self._outbox.mark_done(
                request.run_id, tuple(event.id for event in request.events), datetime.now(UTC)
            )
