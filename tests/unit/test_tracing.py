"""Spans: none when tracing is off, and on only as part of a trace."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.mongo.spans import MongoSpans
from settings import Settings, SettingsError, load_settings
from telemetry import tracing

MADE_IN = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Tracing is on; what has ended is in here."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.begin(provider.get_tracer("test"))
    yield exporter
    tracing.begin(None)
    provider.shutdown()


def names(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


def test_off_nothing_is_made_and_what_others_made_is_passed_on() -> None:
    with tracing.tracing(Settings(), "test"), tracing.receiving("topic", MADE_IN):
        assert not tracing.is_on()
        with tracing.span("call", {}), tracing.detached():
            assert (tracing.ids(), tracing.headers(), tracing.traceparent()) == (None, None, None)
        with tracing.sending("topic", MADE_IN) as headers:
            assert headers == [("traceparent", MADE_IN.encode())]
        with tracing.sending("topic", None) as headers:
            assert headers == []


def test_a_call_outside_of_a_trace_has_no_span(exported: InMemorySpanExporter) -> None:
    with tracing.span("call", {}):
        assert tracing.ids() is None
    assert names(exported) == []


def test_a_message_goes_on_with_the_trace_it_names(exported: InMemorySpanExporter) -> None:
    with tracing.receiving("orders", MADE_IN):
        found = tracing.ids()
        assert found is not None
        assert found[0] == "a" * 32
        with tracing.span("call", {"of": "it"}):
            assert tracing.headers() == {"traceparent": tracing.traceparent()}
        with tracing.detached(), tracing.span("of nobody", {}):
            pass
    assert names(exported) == ["call", "process orders"]


@pytest.mark.parametrize("given", [None, "", "nonsense", f"00-{'0' * 32}-{'b' * 16}-01"])
def test_a_message_that_names_no_trace_begins_one(
    exported: InMemorySpanExporter, given: str | None
) -> None:
    with tracing.receiving("orders", given):
        assert tracing.ids() is not None
    [span] = exported.get_finished_spans()
    assert span.parent is None


def test_an_event_is_sent_in_the_trace_it_was_made_in(exported: InMemorySpanExporter) -> None:
    with tracing.receiving("another", None), tracing.sending("events", MADE_IN) as headers:
        [(name, value)] = headers
    [sent, _] = exported.get_finished_spans()
    context = sent.get_span_context()
    assert sent.parent is not None
    assert trace.format_span_id(sent.parent.span_id) == "b" * 16
    assert context is not None
    assert name == "traceparent"
    assert value.decode().split("-")[1:3] == ["a" * 32, trace.format_span_id(context.span_id)]


def test_an_endpoint_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT='collector:4318': must"):
        load_settings()


def test_an_endpoint_without_the_exporter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_found(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("settings.find_spec", nothing_found)
    assert Settings().otel_exporter_otlp_endpoint is None
    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    with pytest.raises(SettingsError, match="needs the extra otlp"):
        load_settings()


class Command:
    """What MongoDB's driver tells of a command, as far as it is looked at."""

    def __init__(self, request_id: int) -> None:
        self.request_id = request_id
        self.command_name = "find"
        self.command = {"find": "carts", "filter": {"email": "jane@example.com"}}
        self.failure = {"codeName": "Unauthorized", "errmsg": "jane@example.com"}
        self.duration_micros = 1


def test_a_command_is_named_and_what_it_asks_is_not(exported: InMemorySpanExporter) -> None:
    listener = MongoSpans()
    listener._tracer = tracing._tracer  # type: ignore[assignment]
    for request_id in (1, 2):  # outside of a trace
        listener.started(Command(request_id))  # type: ignore[arg-type]
    with tracing.receiving("orders", None):
        listener.started(Command(3))  # type: ignore[arg-type]
        listener.started(Command(4))  # type: ignore[arg-type]
    listener.succeeded(Command(3))  # type: ignore[arg-type]
    listener.failed(Command(4))  # type: ignore[arg-type]
    listener.succeeded(Command(1))  # type: ignore[arg-type]
    assert names(exported) == ["process orders", "find carts", "find carts"]
    assert "jane" not in repr([span.to_json() for span in exported.get_finished_spans()])
