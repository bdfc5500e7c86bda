"""A Prometheus that scrapes the session's stack, and the built site."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dev.stack.stack import Stack
from settings import Settings
from tests.deploy.prometheus import Prometheus, prometheus
from tests.deploy.tools import ROOT, run


@pytest.fixture(scope="package")
async def running_prometheus(
    stack: Stack, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """A Prometheus for the tests of this folder; it scrapes every process each second."""
    async with prometheus(settings, tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture(scope="package")
def site() -> Path:
    """The folder of the site; `make site` fails on a dead link."""
    done = run("make", "site", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "site"
