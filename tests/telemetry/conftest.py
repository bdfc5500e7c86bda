"""A stack for these tests, at debug level, whose processes send their traces to the test."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from dev.stack.stack import Stack
from settings import LOCALHOST
from tests.conftest import settings_of_its_own
from tests.support.collector import Collector, collector
from tests.support.shop import Shop, World, world_of


@dataclass
class Traced:
    """The running stack, its clients and its telemetry."""

    stack: Stack
    world: World
    collector: Collector

    def shop(self) -> Shop:
        """A new store."""
        return Shop(self.world)

    def logs(self) -> dict[str, str]:
        """The whole log of each process of the service."""
        return {
            name: self.stack.process(name).log.read_text()
            for name in ("api", "worker", "consumer", "inventory")
        }

    async def metrics(self) -> str:
        """The `/metrics` pages of all processes."""
        settings = self.world.settings
        ports = (settings.port, settings.worker_metrics_port, settings.consumer_metrics_port)
        pages = [await self.world.http.get(f"http://{LOCALHOST}:{port}/metrics") for port in ports]
        return "\n".join(page.raise_for_status().text for page in pages)


@pytest.fixture(scope="package")
async def traced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    """The stack for the tests of this folder."""
    async with collector() as receiving:
        with settings_of_its_own(tmp_path_factory.mktemp("traced")) as settings:
            env = os.environ | {
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiving.endpoint,
                "OTEL_BSP_SCHEDULE_DELAY": "200",  # milliseconds
            }
            async with Stack(settings, env, echo=print) as stack, world_of(settings) as world:
                yield Traced(stack, world, receiving)
