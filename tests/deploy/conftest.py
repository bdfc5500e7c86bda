"""A Prometheus beside the session's stack, for all tests here that ask for it."""

from collections.abc import AsyncIterator

import pytest

from dev.stack.stack import Stack
from settings import Settings
from tests.deploy.prometheus import Prometheus, prometheus


@pytest.fixture(scope="package")
async def seen(
    stack: Stack, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """It runs beside the stack while it is looked at; it asks every process all the time."""
    async with prometheus(settings, tmp_path_factory.mktemp("prometheus")) as running:
        yield running
