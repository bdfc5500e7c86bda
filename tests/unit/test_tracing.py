"""Spans: none when tracing is off, and else only as part of a trace."""

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
    """Turns tracing on; the exporter with the ended spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.begin(provider.get_tracer("test"))
    yield exporter
    tracing.begin(None)
    provider.shutdown()


def names(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


def test_with_tracing_off_no_span_is_made_and_a_given_trace_is_passed_on() -> None:
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


def test_a_message_continues_the_trace_in_its_header(exported: InMemorySpanExporter) -> None:
    with tracing.receiving("orders", MADE_IN):
        found = tracing.ids()
        assert found is not None
        assert found[0] == "a" * 32
        with tracing.span("call", {"of": "it"}):
            assert tracing.headers() == {"traceparent": tracing.traceparent()}
        with tracing.detached(), tracing.span("detached", {}):
            pass
    assert names(exported) == ["call", "process orders"]


@pytest.mark.parametrize("given", [None, "", "nonsense", f"00-{'0' * 32}-{'b' * 16}-01"])
def test_a_message_without_a_trace_starts_one(
    exported: InMemorySpanExporter, given: str | None
) -> None:
    with tracing.receiving("orders", given):
        assert tracing.ids() is not None
    [span] = exported.get_finished_spans()
    assert span.parent is None


def test_an_event_is_sent_in_the_trace_of_its_operation(exported: InMemorySpanExporter) -> None:
    with tracing.receiving("another", None), tracing.sending("events", MADE_IN) as headers:
        [(name, value)] = headers
    [sent, _] = exported.get_finished_spans()
    context = sent.get_span_context()
    assert sent.parent is not None
    assert trace.format_span_id(sent.parent.span_id) == "b" * 16
    assert context is not None
    assert name == "traceparent"
    assert value.decode().split("-")[1:3] == ["a" * 32, trace.format_span_id(context.span_id)]


def test_an_invalid_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT='collector:4318': must"):
        load_settings()


def test_a_missing_exporter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_found(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("settings.server.find_spec", nothing_found)
    assert Settings().otel_exporter_otlp_endpoint is None
    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    with pytest.raises(SettingsError, match="needs the extra otlp"):
        load_settings()


class MongoCommand:
    """The fields of a MongoDB command event that the listener uses."""

    def __init__(self, request_id: int) -> None:
        self.request_id = request_id
        self.command_name = "find"
        self.command = {"find": "carts", "filter": {"email": "jane@example.com"}}
        self.failure = {"codeName": "Unauthorized", "errmsg": "jane@example.com"}
        self.duration_micros = 1


def test_the_span_of_a_command_has_its_name_and_none_of_its_values(
    exported: InMemorySpanExporter,
) -> None:
    listener = MongoSpans()
    listener._tracer = tracing._tracer  # type: ignore[assignment]
    for request_id in (1, 2):  # outside of a trace
        listener.started(MongoCommand(request_id))  # type: ignore[arg-type]
    with tracing.receiving("orders", None):
        listener.started(MongoCommand(3))  # type: ignore[arg-type]
        listener.started(MongoCommand(4))  # type: ignore[arg-type]
    listener.succeeded(MongoCommand(3))  # type: ignore[arg-type]
    listener.failed(MongoCommand(4))  # type: ignore[arg-type]
    listener.succeeded(MongoCommand(1))  # type: ignore[arg-type]
    assert names(exported) == ["process orders", "find carts", "find carts"]
    assert "jane" not in repr([span.to_json() for span in exported.get_finished_spans()])
