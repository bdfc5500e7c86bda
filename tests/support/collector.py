"""An OTLP receiver of traces (http/protobuf) in the test's process."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from settings import LOCALHOST


@dataclass(frozen=True)
class Received:
    """A span and the service that sent it; ids are hexadecimal, the parent of a root is empty."""

    service: str
    span: Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.span.parent_span_id.hex()


@dataclass
class Collector:
    """All spans received so far."""

    endpoint: str = ""
    spans: list[Received] = field(default_factory=list)

    def trace(self, trace_id: str) -> list[Received]:
        """The spans of a trace, in the order of their start."""
        found = [one for one in self.spans if one.trace_id == trace_id]
        return sorted(found, key=lambda one: one.span.start_time_unix_nano)

    async def receive(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            service = next(
                attribute.value.string_value
                for attribute in resource.resource.attributes
                if attribute.key == "service.name"
            )
            self.spans += [
                Received(service, span) for scope in resource.scope_spans for span in scope.spans
            ]
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """Listens on a free port."""
    receiving = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", receiving.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOCALHOST, 0)
    await site.start()
    port = runner.addresses[0][1]
    receiving.endpoint = f"http://{LOCALHOST}:{port}"
    try:
        yield receiving
    finally:
        await runner.cleanup()


def roots(trace: Iterable[Received]) -> list[Received]:
    """The spans whose parent is not in the trace."""
    spans = list(trace)
    known = {span.id for span in spans}
    return [span for span in spans if span.parent_id not in known]
