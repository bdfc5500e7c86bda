"""The numbers at `/metrics` of the running processes and of this one."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

import httpx
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dev.stack.servers import shared_tls
from settings import LOCALHOST, Settings

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Numbers:
    """The samples of one process, or their increase since an earlier page."""

    values: dict[tuple[str, Labels], float]

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.values}

    def labels(self, name: str) -> set[str]:
        """The label names of a metric's series, without `le`."""
        return {key for one, labels in self.values if one == name for key, _ in labels} - {"le"}

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the series that have at least these labels."""
        wanted = labels.items()
        found = [
            value for (one, has), value in self.values.items() if one == name and wanted <= set(has)
        ]
        return sum(found)

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """The same for each value of a label; sums of 0 are left out."""
        sums: dict[str, float] = defaultdict(float)
        for (one, has), value in self.values.items():
            if one == name and labels.items() <= set(has):
                sums[dict(has)[label]] += value
        return {key: value for key, value in sums.items() if value}

    def since(self, before: "Numbers") -> "Numbers":
        return Numbers(
            {key: value - before.values.get(key, 0) for key, value in self.values.items()}
        )


def read(text: str) -> Numbers:
    """The samples of a page, without empty labels, which Prometheus ignores."""
    values: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = (sample.name, tuple(sorted(filter(all, sample.labels.items()))))
            assert series not in values, f"Prometheus refuses a page that has this twice: {series}"
            values[series] = sample.value
    return Numbers(values)


@dataclass(frozen=True)
class ServiceNumbers:
    """The samples of the API, the worker and the consumer."""

    api: Numbers
    worker: Numbers
    consumer: Numbers

    def since(self, before: "ServiceNumbers") -> "ServiceNumbers":
        return ServiceNumbers(
            self.api.since(before.api),
            self.worker.since(before.worker),
            self.consumer.since(before.consumer),
        )


async def scrape(settings: Settings) -> ServiceNumbers:
    """Reads one page of each process."""
    ports = (settings.port, settings.worker_metrics_port, settings.consumer_metrics_port)
    return ServiceNumbers(*await asyncio.gather(*map(scrape_port, ports)))


async def scrape_port(port: int) -> Numbers:
    """Reads the page of the process with this port."""
    async with httpx.AsyncClient(timeout=10, verify=shared_tls()) as http:
        page = await http.get(f"http://{LOCALHOST}:{port}/metrics")
    return read(page.raise_for_status().text)


@cache
def _registry() -> CollectorRegistry:
    """The registry of this process, made once, as a meter provider cannot be replaced."""
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(
        disable_target_info=True, scope_info_enabled=False, registry=registry
    )
    set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    return registry


def numbers_here() -> Numbers:
    """The samples of this process since the first call."""
    return read(generate_latest(_registry()).decode())
