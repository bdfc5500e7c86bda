"""The worker: everything that can be started is registered, and it waits for Temporal."""

import asyncio
import importlib
import logging
import pkgutil
from types import ModuleType
from typing import Any, cast

import pytest
from temporalio import activity, workflow
from temporalio.common import VersioningBehavior

import activities
import worker
import workflows
from models.errors import DependencyRefuses, DependencyUnavailable
from settings import Settings


def modules_of(package: ModuleType) -> list[ModuleType]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [importlib.import_module(one.name) for one in found]


def members_of(package: ModuleType) -> list[Any]:
    """What the package's modules define: classes, and the functions in them."""
    classes = [
        one
        for module in modules_of(package)
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__
    ]
    return classes + [member for one in classes for member in vars(one).values()]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the worker is made of."""
    options: dict[str, Any] = {}
    monkeypatch.setattr(worker, "Worker", lambda _, **given: options.update(given))
    names = ("carts", "operations", "inventory", "cache", "stock", "events", "outbox", "gateway")
    parts = dict.fromkeys((*names, "keyring", "limiter", "policies"), _Part())
    settings = Settings(
        temporal_task_queue="carts-eu",
        temporal_worker_build_id="2f1c",
        temporal_deployment_name="cart",
    )
    worker.build_worker(cast(Any, _Part()), settings, **cast(Any, parts))
    return options


class _Part:
    """An adapter, which is not called while the worker is built."""

    client = reserves = None

    async def wake_relay(self) -> None: ...


def test_every_activity_is_registered(built: dict[str, Any]) -> None:
    """A step that is not fails only once a saga gets to it."""
    definition = activity._Definition.from_callable
    defined = {
        found.name for one in members_of(activities) if callable(one) and (found := definition(one))
    }
    registered = {definition(one).name for one in built["activities"]}  # type: ignore[union-attr]
    assert defined == registered
    assert len(built["activities"]) == len(registered)


def test_every_workflow_is_registered(built: dict[str, Any]) -> None:
    definition = workflow._Definition.from_class
    defined = {one for one in members_of(workflows) if isinstance(one, type) and definition(one)}
    assert defined == set(built["workflows"])


def test_a_worker_with_a_build_id_keeps_its_runs(built: dict[str, Any]) -> None:
    assert built["task_queue"] == "carts-eu"
    deployment = built["deployment_config"]
    assert (deployment.version.deployment_name, deployment.version.build_id) == ("cart", "2f1c")
    assert deployment.default_versioning_behavior is VersioningBehavior.PINNED
    assert worker.deployment_of(Settings(temporal_worker_build_id=None)) is None


class FakeTemporal:
    """Fails with each of the `troubles`, then answers; `stopping` is set after the last one."""

    def __init__(self, *troubles: DependencyUnavailable) -> None:
        self.troubles = list(troubles)
        self.stopping = asyncio.Event()
        self.stops = False

    async def connect(self, _: Settings) -> "FakeTemporal":
        if self.troubles:
            trouble = self.troubles.pop(0)
            if self.stops and not self.troubles:
                self.stopping.set()
            raise trouble
        return self


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes at once while the worker waits."""
    timeout = asyncio.timeout
    monkeypatch.setattr("asyncio.timeout", lambda _: timeout(0))


async def connected(temporal: FakeTemporal, monkeypatch: pytest.MonkeyPatch) -> Any:
    async def usable(_: Any) -> None:
        return None

    monkeypatch.setattr(worker, "connect", temporal.connect)
    monkeypatch.setattr(worker, "check_namespace", usable)
    return await worker._connect(Settings(), temporal.stopping)


@pytest.mark.usefixtures("pauses")
async def test_the_worker_waits_for_temporal_and_logs_each_reason_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = DependencyUnavailable("temporal", "connection refused")
    refusal = DependencyRefuses("temporal", "no such namespace")
    temporal = FakeTemporal(away, away, refusal, refusal, away)
    with caplog.at_level(logging.WARNING):
        assert await connected(temporal, monkeypatch) is temporal
    events = [(line.__dict__["event"], line.__dict__["reason"]) for line in caplog.records]
    assert events == [
        ("dependency_unavailable", "connection refused"),
        ("dependency_refuses", "no such namespace"),
        ("dependency_unavailable", "connection refused"),
    ]


async def test_a_worker_that_is_stopped_before_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporal = FakeTemporal(DependencyUnavailable("temporal", "connection refused"))
    temporal.stops = True
    assert await connected(temporal, monkeypatch) is None
