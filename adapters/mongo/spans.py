"""MongoDB: a span for each command, in processes with tracing."""

from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span, get_tracer
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from adapters.bounded_cache import BoundedCache

_MAX_OPEN = 1000  # a cancelled command has no end event


class MongoSpans(CommandListener):
    """Spans contain the command and its collection, no queries and no results."""

    def __init__(self) -> None:
        self._tracer = get_tracer("cart")
        self._open: BoundedCache[int, Span] = BoundedCache(max_size=_MAX_OPEN)

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
        span = self._open.pop(event.request_id, None)
        if span is not None:
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        span = self._open.pop(event.request_id, None)
        if span is not None:
            span.set_status(StatusCode.ERROR, str(event.failure.get("codeName", "")))
            span.end()
