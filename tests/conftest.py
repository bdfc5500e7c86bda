"""Fixtures for all tests: the local stack, started once, and a shop for each test that needs one.

Unit tests use none of these, and need no server. With `--production` the servers are those of
`dev.stack.production`.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.stack import servers
from dev.stack.ports import free_ports
from dev.stack.production import ENVIRONMENT as PRODUCTION
from dev.stack.stack import Stack
from settings import Settings, load_settings
from tests.support.shop import Shop, World, world_of
from tests.support.waiting import eventually

HISTORY_LENGTH = 200
"""Events after which Temporal suggests that a workflow continues as new; the default is 4,096."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--production",
        action="store_true",
        help="run on Temporal with PostgreSQL, and on Apache Kafka (make test-servers)",
    )


def pytest_configure() -> None:
    """The tests' own clients connect to this machine, without the user's proxies."""
    local = ("127.0.0.1", "localhost", "::1")
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), *local)))
    for name in ("ALL_PROXY", "all_proxy"):  # a SOCKS proxy needs a package that is not installed
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def production(request: pytest.FixtureRequest) -> bool:
    """Whether the servers are those of production."""
    production: bool = request.config.getoption("--production")
    return production


@contextmanager
def settings_of_its_own(local_dir: Path, *, production: bool = False) -> Iterator[Settings]:
    """The settings of a stack under test: free ports, data in `local_dir`.

    They replace the environment meanwhile, so that neither an `.env` file nor a variable of the
    user can point the tests at a real server.
    """
    known = {name.upper() for name in Settings.model_fields} | {"NODE_ENV"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in known and not name.startswith("TEMPORAL_")
    }
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update({name: str(port) for name, port in free_ports().items()})
    os.environ.update(
        CART_ENV_FILE="",
        ENVIRONMENT="test",
        LOCAL_DIR=str(local_dir),
        INVENTORY_FAULTS="true",
        LOG_LEVEL="debug",
        OPERATION_WAIT_SECONDS="3",
        RELAY_GRACE_SECONDS="0.5",
        # Reservations that tests plant stay until the test looks at them.
        ORPHAN_RELEASE_SECONDS="3600",
    )
    if production:
        os.environ.update(PRODUCTION)
    try:
        yield load_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, production: bool) -> Iterator[Settings]:
    """The settings of the session's stack."""
    folder = tmp_path_factory.mktemp("stack")
    with settings_of_its_own(folder, production=production) as settings:
        yield settings


@pytest.fixture(scope="session")
async def stack(settings: Settings, production: bool) -> AsyncIterator[Stack]:
    """All servers and processes, as `make run` starts them."""
    servers.TEMPORAL_DYNAMIC_CONFIG["limit.historyCount.suggestContinueAsNew"] = HISTORY_LENGTH
    async with Stack(settings, echo=print, production=production) as running:
        yield running


@pytest.fixture(scope="session")
async def world(stack: Stack, settings: Settings) -> AsyncIterator[World]:
    """Clients of the running stack."""
    async with world_of(settings) as world:
        yield world


@pytest.fixture
async def shop(world: World) -> AsyncIterator[Shop]:
    """A new store; the inventory has no faults after the test."""
    yield Shop(world)

    async def without_faults() -> None:
        (await world.inventory.delete("/faults")).raise_for_status()

    await eventually(without_faults)


@pytest.fixture
def project_root() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent
