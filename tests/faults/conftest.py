"""One rig for all tests of this folder; each test removes its faults."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.rig import FaultRig, running_rig


@pytest.fixture(scope="package")
async def rig(
    tmp_path_factory: pytest.TempPathFactory, production: bool
) -> AsyncIterator[FaultRig]:
    """A stack with a proxy on every link, and processes with triggers."""
    folder = tmp_path_factory.mktemp("faults")
    async with running_rig(folder, print, production=production) as running:
        yield running
        assert running.triggers.errors == []
        assert [error for link in running.links.values() for error in link.errors] == []
