"""MongoDB: the span of each command, for a process that traces."""

from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span, get_tracer
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from adapters.recent import Recent

_MOST_OPEN = 1000  # the end of a command that was cancelled is never told


class MongoSpans(CommandListener):
    """Names the command and its collection, never what is asked or answered."""

    def __init__(self) -> None:
        self._tracer = get_tracer("cart")
        self._open: Recent[int, Span] = Recent(most=_MOST_OPEN)

    def started(self, event: CommandStartedEvent) -> None:
        if not get_current_span().is_recording():
            return
        collection = event.command.get(event.command_name)
        attributes = {"db.system.name": "mongodb", "db.operation.name": event.command_name}
        name = event.command_name
        if isinstance(collection, str):
            attributes["db.collection.name"] = collection
            name += f" {collection}"
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        self._open.keep(event.request_id, span)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        span = self._open.pop(event.request_id)
        if span is not None:
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        span = self._open.pop(event.request_id)
        if span is not None:
            span.set_status(StatusCode.ERROR, str(event.failure.get("codeName", "")))
            span.end()
