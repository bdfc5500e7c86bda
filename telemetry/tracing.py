"""Traces: OpenTelemetry's spans, sent by OTLP (http/protobuf) when an endpoint is set.

While tracing is off, each function in here costs no more than reading a variable. While it is on,
an operation is one trace: the request (span by FastAPI), the workflow and its steps (spans by the
Temporal SDK, see `workflows.interceptors`), and the calls to other systems (spans by the adapters,
with the functions in here). Span names and attributes are as public as the logs.

OpenTelemetry's SDK reads the other variables itself (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`,
`OTEL_EXPORTER_OTLP_HEADERS`, …).
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from settings import Settings

HEADER = "traceparent"
EXPORT_SECONDS = 3.0
END_SECONDS = 1.0
"""How long a process waits at its end for its last spans to be sent."""

# W3C Trace Context only: baggage would carry input from clients into Temporal's histories.
PROPAGATOR = TraceContextTextMapPropagator()

_NOTHING = nullcontext()
# None: off. OpenTelemetry's own provider can be set only once per process.
_tracer: Tracer | None = None


@contextmanager
def tracing(settings: Settings, process: str) -> Iterator[None]:
    """Sends this process's spans while the block runs, if an endpoint is set.

    Enter it before creating any client.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        yield
        return
    # Imported only when tracing, because an installation without the extra `otlp` has no exporter.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    name = os.environ.get("OTEL_SERVICE_NAME") or f"cart-{process}"
    about = {"service.name": name, "deployment.environment.name": settings.environment.value}
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    # Its queue is bounded; spans are dropped while it is full.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_SECONDS)))
    propagate.set_global_textmap(PROPAGATOR)
    trace.set_tracer_provider(provider)
    begin(provider.get_tracer("cart"))
    try:
        yield
    finally:
        begin(None)
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(END_SECONDS)


def begin(tracer: Tracer | None) -> None:
    """Sets the tracer for all further spans; None turns tracing off."""
    global _tracer  # noqa: PLW0603
    _tracer = tracer


def is_on() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def span(
    name: str, attributes: Mapping[str, str | int], *, kind: SpanKind = SpanKind.CLIENT
) -> AbstractContextManager[Any]:
    """The span of a call inside a recorded trace; no span outside of one."""
    if _tracer is None or not trace.get_current_span().is_recording():
        return _NOTHING
    return _tracer.start_as_current_span(name, kind=kind, attributes=attributes)


def headers() -> dict[str, str] | None:
    """The headers that pass the current trace to the called service; None outside of one."""
    now = traceparent()
    return {HEADER: now} if now is not None else None


def traceparent() -> str | None:
    """The current span in W3C Trace Context format; None outside of a trace."""
    if _tracer is None:
        return None
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier)
    return carrier.get(HEADER)


def ids() -> tuple[str, str] | None:
    """Trace id and span id, in hexadecimal; None outside of a trace."""
    if _tracer is None:
        return None
    now = trace.get_current_span().get_span_context()
    if not now.is_valid:
        return None
    return trace.format_trace_id(now.trace_id), trace.format_span_id(now.span_id)


@contextmanager
def sending(topic: str, made_in: str | None) -> Iterator[list[tuple[str, bytes]]]:
    """The span of sending an event; yields the headers to send with it.

    It belongs to the trace that created the event, even if a relay sends it later.
    """
    if made_in is None:
        yield []
    elif _tracer is None:
        yield [(HEADER, made_in.encode())]
    else:
        with _message_span(f"send {topic}", topic, made_in, SpanKind.PRODUCER):
            yield [(HEADER, (traceparent() or made_in).encode())]


def receiving(topic: str, sent_in: str | None) -> AbstractContextManager[Any]:
    """The span of handling an event, in its sender's trace if the event has one."""
    if _tracer is None:
        return _NOTHING
    return _message_span(f"process {topic}", topic, sent_in, SpanKind.CONSUMER)


def _message_span(
    name: str, topic: str, parent: str | None, kind: SpanKind
) -> AbstractContextManager[Any]:
    assert _tracer is not None  # noqa: S101 (checked by its callers)
    attributes = {"messaging.system": "kafka", "messaging.destination.name": topic}
    inside = PROPAGATOR.extract({HEADER: parent} if parent else {}, Context())
    return _tracer.start_as_current_span(name, inside, kind, attributes)


@contextmanager
def detached() -> Iterator[None]:
    """Runs the block outside of any trace, for work that outlives the caller."""
    if _tracer is None:
        yield
        return
    token = context.attach(Context())
    try:
        yield
    finally:
        context.detach(token)
