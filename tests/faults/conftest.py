"""One rig for all tests of this folder: it is started once, and faults leave it whole."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.rig import Rig, running_rig


@pytest.fixture(scope="package")
async def rig(tmp_path_factory: pytest.TempPathFactory, production: bool) -> AsyncIterator[Rig]:
    """A stack with a proxy on every link and a worker that asks the test."""
    folder = tmp_path_factory.mktemp("faults")
    async with running_rig(folder, print, production=production) as running:
        yield running
        assert running.control.errors == []
