"""Steps on Kafka: publish what was committed."""

from datetime import UTC, datetime

from temporalio import activity

from activities.errors import as_application_error
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.outbox import Outbox
from models.errors import EarlierEventsPending
from models.steps import PublishEvents


class EventActivities:
    """Activities over an `EventPublisher`; the `Outbox` notes what need not be done again."""

    def __init__(self, events: EventPublisher, outbox: Outbox) -> None:
        self._events = events
        self._outbox = outbox

    @activity.defn(name="publish_events")
    async def publish(self, request: PublishEvents) -> None:
        """Publishes in order; fails unless every event was acknowledged and noted."""
        with as_application_error():
            await self.tell(request)

    async def tell(self, request: PublishEvents) -> None:
        """The same for who is in a step already; raises the domain's errors.

        Events of a cart keep their order: with earlier ones pending, these wait behind them.
        """
        cart = (request.store_id, request.user_id)
        if await self._outbox.has_earlier_events(cart, run_id=request.run_id):
            raise EarlierEventsPending("/".join(cart))
        await self._events.publish(request.events)
        await self._outbox.mark_done(
            request.run_id,
            tuple(event.id for event in request.events),
            datetime.now(UTC),
            lasting=False,
        )
