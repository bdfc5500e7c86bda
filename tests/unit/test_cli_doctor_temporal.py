"""The findings of `cart doctor` about Temporal, with a fake client."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.service import RPCError, RPCStatusCode

from cli.doctor import temporal, worker
from cli.doctor.results import CheckReport, CheckResult, Status
from cli.temporal import TemporalPlace
from settings import Settings
from tests.unit.cli_standin import FakeResponse, clear_environment, standin
from workflows.ids import SEARCH_ATTRIBUTES


@pytest.fixture(autouse=True)
def unused_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


def by_part(report: CheckReport) -> dict[str, CheckResult]:
    found = {finding.part: finding for finding in report.results}
    assert len(found) == len(report.results)
    return found


class Cluster:
    """A Temporal client whose services return these fields."""

    namespace = "default"

    def __init__(self) -> None:
        self.refusal: RPCError | None = None
        self.attributes: dict[str, Any] = {
            name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
            for name, kind in SEARCH_ATTRIBUTES.items()
        }
        self.polled = timedelta(seconds=10)
        self.worker_works = True
        self.current = ""  # the version of the workers that gets new sagas
        self.workflow_service = SimpleNamespace(
            describe_namespace=self._describe_namespace,
            describe_task_queue=self._describe_task_queue,
            describe_worker_deployment=self._describe_worker_deployment,
        )
        self.operator_service = SimpleNamespace(list_search_attributes=self._list_attributes)

    async def _describe_namespace(self, *_: Any, **__: Any) -> None:
        if self.refusal:
            raise self.refusal

    async def _describe_task_queue(self, *_: Any, **__: Any) -> Any:
        seen = datetime.now(UTC) - self.polled
        poller = SimpleNamespace(
            identity="1@here", last_access_time=SimpleNamespace(ToDatetime=lambda tzinfo: seen)
        )
        return SimpleNamespace(pollers=[poller])

    async def execute_workflow(self, *_: Any, **__: Any) -> None:
        if not self.worker_works:
            await asyncio.Event().wait()

    async def _describe_worker_deployment(self, *_: Any, **__: Any) -> Any:
        if self.current == "unknown":
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
        version = SimpleNamespace(build_id=self.current)
        routing = SimpleNamespace(current_deployment_version=version)
        return SimpleNamespace(worker_deployment_info=SimpleNamespace(routing_config=routing))

    async def _list_attributes(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(custom_attributes=self.attributes)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()

    async def connect(_: Any) -> Cluster:
        return made

    monkeypatch.setattr(TemporalPlace, "connect", connect)
    return made


async def examine_temporal(**values: Any) -> dict[str, CheckResult]:
    report = CheckReport()
    await temporal.check_temporal(Settings(**values), report)
    return by_part(report)


async def test_temporal_as_it_should_be(cluster: Cluster) -> None:
    with standin(lambda _: FakeResponse(200)) as port:
        found = await examine_temporal(temporal_ui_port=port)

    assert {finding.state for finding in found.values()} == {Status.OK}
    assert len(found) == 4


async def test_no_web_ui_is_a_warning(cluster: Cluster) -> None:
    finding = (await examine_temporal())["Temporal Web UI"]

    assert finding.state is Status.WARN
    assert "TEMPORAL_UI_PORT" in finding.advice


async def test_a_namespace_that_does_not_exist(cluster: Cluster) -> None:
    cluster.refusal = RPCError("not found", RPCStatusCode.NOT_FOUND, b"")

    finding = (await examine_temporal())["Temporal"]

    assert finding.state is Status.FAILED
    assert "temporal operator namespace create --namespace default" in finding.advice


async def test_a_key_that_is_refused(cluster: Cluster) -> None:
    cluster.refusal = RPCError("denied", RPCStatusCode.PERMISSION_DENIED, b"")

    finding = (await examine_temporal())["Temporal"]

    assert finding.state is Status.FAILED
    assert "TEMPORAL_API_KEY" in finding.advice


async def test_missing_search_attributes_send_to_setup(cluster: Cluster) -> None:
    del cluster.attributes["CartOutcome"]

    finding = (await examine_temporal())["search attributes"]

    assert finding == CheckResult(
        "search attributes", Status.FAILED, "missing: CartOutcome", "run `cart setup`"
    )


async def test_a_search_attribute_of_another_type(cluster: Cluster) -> None:
    cluster.attributes["CartAttention"] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

    finding = (await examine_temporal())["search attributes"]

    assert finding.state is Status.FAILED
    assert finding.what == "CartAttention is KEYWORD, not Bool"


async def test_no_worker_has_asked_for_work(cluster: Cluster) -> None:
    cluster.polled = timedelta(minutes=2)

    finding = (await examine_temporal())["worker"]

    assert finding.state is Status.FAILED
    assert "python worker.py" in finding.advice


async def test_a_worker_that_has_asked_for_work_and_does_none(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PING_SECONDS", 0.01)
    cluster.worker_works = False

    finding = (await examine_temporal())["worker"]

    assert finding.state is Status.FAILED
    assert "1@here" in finding.what
    assert "hangs" in finding.advice


@pytest.mark.parametrize(
    ("current", "state", "what"),
    [
        ("0.2.0", Status.OK, "0.2.0 is current"),
        ("0.1.0", Status.WARN, "0.1.0 is current, the settings name 0.2.0"),
        ("", Status.FAILED, "no version of 'cart' is current: new sagas wait"),
        ("unknown", Status.FAILED, "Temporal has no worker deployment 'cart'"),
    ],
)
async def test_which_version_of_the_worker_is_current(
    cluster: Cluster, current: str, state: Status, what: str
) -> None:
    cluster.current = current

    finding = (await examine_temporal(temporal_worker_build_id="0.2.0"))["version of the worker"]

    assert (finding.state, finding.what) == (state, what)
    if current in {"", "0.1.0"}:
        assert "--deployment-name cart --build-id 0.2.0" in finding.advice


async def test_a_temporal_profile_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_PROFILE", "no-such-profile")

    finding = (await examine_temporal())["Temporal"]

    assert finding.state is Status.FAILED
    assert "TEMPORAL_PROFILE" in finding.advice
