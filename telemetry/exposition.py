"""`/metrics` of a process, for Prometheus: its own metrics, Temporal's SDK's, and Python's.

The SDK serves its metrics on a separate port. Each scrape reads them from there, so that a process
is one target.
"""

import socket
from collections.abc import Iterator
from typing import Literal
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import structlog
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from settings import LOCALHOST, Settings
from telemetry.metrics import CATALOG, Process

logger = structlog.stdlib.get_logger(__name__)

READ_SECONDS = 1.0
_NO_PROXY = build_opener(ProxyHandler({}))
PORT_TRIES = 3


def start_metrics(process: Process, settings: Settings) -> None:
    """Sets up metrics. Call it once per process, before the first Temporal client."""
    if not settings.enable_metrics:
        return
    reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False)
    set_meter_provider(
        MeterProvider([reader], exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False)
    )
    for metric in CATALOG.values():
        if process in metric.shown_by:
            metric.show_zeros()
    REGISTRY.register(_TemporalMetrics(_measure_temporal()))


def serve_metrics(process: Literal["worker", "consumer"], settings: Settings) -> None:
    """Serves scrapes on the process's port, in a daemon thread.

    A port that is taken does not stop the process: several on one machine may share the setting.
    """
    ports = {"worker": settings.worker_metrics_port, "consumer": settings.consumer_metrics_port}
    port = ports[process]
    if not settings.enable_metrics or not port:
        return
    try:
        start_http_server(port, settings.host)
    except OSError as error:
        logger.warning("metrics_hidden", message=f"Could not serve metrics on port {port}: {error}")


class _TemporalMetrics(Collector):
    """The metrics that Temporal's SDK serves on a local port."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOCALHOST}:{port}/metrics"

    def collect(self) -> Iterator[Metric]:
        try:
            with _NO_PROXY.open(self._url, timeout=READ_SECONDS) as answer:
                text = answer.read().decode()
        except (URLError, OSError) as error:
            logger.warning(
                "sdk_metrics_unreadable",
                message=f"Could not read the metrics of Temporal's SDK: {error}",
            )
            return
        yield from text_string_to_metric_families(text)


def _measure_temporal() -> int:
    """Starts the SDK's metrics and returns their port."""
    for tries in range(1, PORT_TRIES + 1):
        with socket.create_server((LOCALHOST, 0)) as server:
            port: int = server.getsockname()[1]
        config = PrometheusConfig(
            bind_address=f"{LOCALHOST}:{port}",
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        )
        try:
            runtime = Runtime(telemetry=TelemetryConfig(metrics=config, attach_service_name=False))
        except ValueError:  # the port was taken meanwhile
            if tries == PORT_TRIES:
                raise
            continue
        Runtime.set_default(runtime)
        return port
    raise AssertionError("unreachable")
