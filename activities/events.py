"""Steps on Kafka: publish the events of a committed operation."""

from datetime import UTC, datetime

from temporalio import activity

from activities.errors import as_application_error
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.operations import OperationStore
from adapters.mongo.outbox import Outbox
from models.errors import EarlierEventsPending
from models.steps import DoEffects


class EventActivities:
    """Activities on an `EventPublisher`. The `Outbox` records published events."""

    def __init__(self, events: EventPublisher, operations: OperationStore, outbox: Outbox) -> None:
        self._events = events
        self._operations = operations
        self._outbox = outbox

    @activity.defn(name="publish_event")
    async def publish_event(self, request: DoEffects) -> None:
        """Publishes the pending events of a saga's record in order.

        Fails unless Kafka acknowledges all. Fails with `EarlierEventsPending` while the cart has
        earlier pending events; the relay then publishes all in order.
        """
        saga = request.saga
        with as_application_error():
            record = (await self._operations.decision(saga)).record
            events = record.pending_events
            if await self._outbox.has_earlier_events(saga.key, record_id=record.id):
                raise EarlierEventsPending("/".join(saga.key))
            await self._events.publish(events)
            await self._outbox.mark_done(record, events, datetime.now(UTC), lasting=False)
