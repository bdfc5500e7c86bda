"""A Prometheus that scrapes the session's stack."""

from collections.abc import AsyncIterator

import pytest

from dev.stack.stack import Stack
from settings import Settings
from tests.deploy.prometheus import Prometheus, prometheus


@pytest.fixture(scope="package")
async def running_prometheus(
    stack: Stack, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """A Prometheus for the tests of this folder; it scrapes every process each second."""
    async with prometheus(settings, tmp_path_factory.mktemp("prometheus")) as running:
        yield running
