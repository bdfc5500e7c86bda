"""Traces: OpenTelemetry's spans, sent by OTLP (http/protobuf) when an endpoint is set.

Off, nothing here costs more than a look at a variable. On, one operation is one trace: the request
(FastAPI makes its span), the workflow and its steps (the Temporal SDK does,
`workflows.interceptors`), and within them the calls to other systems, whose spans the adapters make
by what is in here. Names and values of spans are as public as the logs.

What else can be set (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`, …)
OpenTelemetry's SDK reads itself.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from settings import Settings

HEADER = "traceparent"
EXPORT_SECONDS = 3.0
END_SECONDS = 1.0
"""How long a process that ends waits for its last spans to leave."""

# W3C Trace Context alone: baggage would carry what strangers send into Temporal's histories.
PROPAGATOR = TraceContextTextMapPropagator()

_NOTHING = nullcontext()
# None: off. It stands beside OpenTelemetry's own provider, of which a process has one.
_tracer: Tracer | None = None


@contextmanager
def tracing(settings: Settings, process: str) -> Iterator[None]:
    """Sends this process's spans for as long as the block runs, if an endpoint is set.

    To be entered before any client is made.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        yield
        return
    # Only who traces has the exporter, and pays for these imports.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    name = os.environ.get("OTEL_SERVICE_NAME") or f"cart-{process}"
    about = {"service.name": name, "deployment.environment.name": settings.environment.value}
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    # Its queue is bounded, and spans that find it full are dropped.
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
    """Makes spans with this tracer from now on; None ends it."""
    global _tracer  # noqa: PLW0603
    _tracer = tracer


def is_on() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def span(
    name: str, attributes: Mapping[str, str | int], *, kind: SpanKind = SpanKind.CLIENT
) -> AbstractContextManager[Any]:
    """The span of a call, as part of a trace that is recorded; outside of one there is none."""
    if _tracer is None or not trace.get_current_span().is_recording():
        return _NOTHING
    return _tracer.start_as_current_span(name, kind=kind, attributes=attributes)


def headers() -> dict[str, str] | None:
    """What tells the called service of the current trace; None outside of one."""
    now = traceparent()
    return {HEADER: now} if now is not None else None


def traceparent() -> str | None:
    """The current span as W3C Trace Context writes it; None outside of a trace."""
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
    """The span of an event on its way; yields the headers to send with it.

    It belongs to the trace that the event was made in, however late and by whom it is sent.
    """
    if made_in is None:
        yield []
    elif _tracer is None:
        yield [(HEADER, made_in.encode())]
    else:
        with _message_span(f"send {topic}", topic, made_in, SpanKind.PRODUCER):
            yield [(HEADER, (traceparent() or made_in).encode())]


def receiving(topic: str, sent_in: str | None) -> AbstractContextManager[Any]:
    """The span of an event that is dealt with, in its sender's trace if it names one."""
    if _tracer is None:
        return _NOTHING
    return _message_span(f"process {topic}", topic, sent_in, SpanKind.CONSUMER)


def _message_span(
    name: str, topic: str, parent: str | None, kind: SpanKind
) -> AbstractContextManager[Any]:
    assert _tracer is not None  # noqa: S101 (its callers have looked)
    attributes = {"messaging.system": "kafka", "messaging.destination.name": topic}
    inside = PROPAGATOR.extract({HEADER: parent} if parent else {}, Context())
    return _tracer.start_as_current_span(name, inside, kind, attributes)


@contextmanager
def detached() -> Iterator[None]:
    """Outside of every trace: what is begun inside lives longer than who begins it."""
    if _tracer is None:
        yield
        return
    token = context.attach(Context())
    try:
        yield
    finally:
        context.detach(token)
