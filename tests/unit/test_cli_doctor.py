"""`cart doctor` names what is wrong and what to do, for each way in which a part can be wrong."""

import asyncio
import gc
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest

from cli.doctor import checks, services
from cli.doctor.results import CheckReport, CheckResult, Part, Status
from cli.doctor.services import check_api, check_inventory, check_kafka, check_redis
from cli.doctor.settings_check import check_settings
from models.events import TOPICS
from settings import Environment, Settings
from tests.unit.cli_standin import FakeResponse, clear_environment, run, standin

PARTS = ("API", "Temporal", "MongoDB", "Redis", "Kafka", "inventory")


@pytest.fixture(autouse=True)
def unused_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


def by_part(report: CheckReport) -> dict[str, CheckResult]:
    found = {finding.part: finding for finding in report.results}
    assert len(found) == len(report.results)
    return found


# The command


def test_with_nothing_running_every_part_fails_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = run(capsys, "doctor", "--json")

    assert (ended.code, ended.err) == (1, "")
    assert ended.json["ok"] is False
    checks = {check["part"]: check for check in ended.json["checks"]}
    for part in PARTS:
        assert checks[part]["state"] == "failed"
        assert "make run" in checks[part]["advice"]
    assert checks["settings"]["state"] == "ok"
    assert checks["worker"]["state"] == "warn"


def test_the_table_shows_state_and_advice(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "doctor")

    assert ended.code == 1
    for column in ("part", "state", "what", "what to do"):
        assert column in ended.out
    assert "does not answer at 127.0.0.1:1 (connection refused)" in ended.out
    assert "1 ok, 1 warn, 6 failed" in ended.out


# pymongo does not close a connection when its handshake is cancelled.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_servers_that_accept_and_never_answer_do_not_block_the_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("PORT", "INVENTORY_PORT", "TEMPORAL_PORT", "MONGODB_PORT", "REDIS_PORT", "KAFKA_PORT")
    with ExitStack() as stack:
        silent = [
            stack.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in names
        ]
        ports = {name: server.getsockname()[1] for name, server in zip(names, silent, strict=True)}
        clear_environment(monkeypatch, **ports)
        begun = time.monotonic()
        ended = run(capsys, "doctor", "--json")

    took = time.monotonic() - begun
    gc.collect()  # here, where the warning is expected
    assert took < 10
    assert ended.code == 1
    checks = {check["part"]: check for check in ended.json["checks"]}
    assert {checks[part]["state"] for part in PARTS} == {"failed"}


def test_no_password_is_ever_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(
        monkeypatch,
        MONGODB_URI="mongodb://me:hunter2@127.0.0.1:1/cart-service",
        REDIS_URL="redis://me:hunter2@127.0.0.1:1/0",
        INVENTORY_SERVICE_URL="http://me:hunter2@127.0.0.1:1",
        KAFKA_BROKERS="127.0.0.1:1",
    )

    ended = run(capsys, "doctor", "--json")

    assert "hunter2" not in ended.out + ended.err
    checks = {check["part"]: check for check in ended.json["checks"]}
    assert "MONGODB_URI is right" in checks["MongoDB"]["advice"]
    assert "KAFKA_BROKERS is right" in checks["Kafka"]["advice"]


@pytest.mark.parametrize(("state", "code"), [(Status.OK, 0), (Status.WARN, 0), (Status.FAILED, 1)])
def test_only_failures_fail_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: Status,
    code: int,
) -> None:
    found = [CheckResult("Redis", state, "so it is", "do this")]
    monkeypatch.setattr(checks, "examine", lambda _: found)

    ended = run(capsys, "doctor")

    assert ended.code == code
    assert "so it is" in ended.out


def test_every_part_has_its_place() -> None:
    async def everything(_: Settings, report: CheckReport) -> None:
        for part in reversed(Part):
            report.ok(part, "so it is")

    found = checks.examine(Settings(), {Part.SETTINGS: everything})
    assert [result.part for result in found] == [*Part]


# Settings


async def test_deployed_with_what_is_meant_for_a_laptop() -> None:
    report = CheckReport()
    settings = Settings(
        environment=Environment.STAGING, host="0.0.0.0", inventory_faults=True, log_level="debug"
    )

    await check_settings(settings, report)

    assert {finding.state for finding in report.results} == {Status.WARN}
    shown = " ".join(finding.what for finding in report.results)
    for name in ("JWT_SECRET", "HS256", "INVENTORY_FAULTS", "KAFKA_IDEMPOTENCE", "LOG_LEVEL"):
        assert name in shown
    assert all(finding.advice for finding in report.results)


async def test_carts_that_hold_no_stock_are_a_warning() -> None:
    report = CheckReport()

    await check_settings(Settings(enable_inventory_reservation=False), report)

    (finding,) = report.results
    assert finding.state is Status.WARN
    assert "oversold" in finding.what


# The API and the inventory


async def test_an_api_that_is_not_ready_names_what_it_misses() -> None:
    def answer(request: Any) -> FakeResponse:
        if request.path == "/health/live":
            return FakeResponse(200, {"status": "ok"})
        return FakeResponse(503, {"services": {"mongodb": "disconnected", "temporal": "connected"}})

    report = CheckReport()
    with standin(answer) as port:
        await check_api(Settings(port=port), report)

    (finding,) = report.results
    assert finding.state is Status.FAILED
    assert "live but not ready (503: mongodb disconnected)" in finding.what


async def test_something_else_on_the_apis_port() -> None:
    report = CheckReport()
    with standin(lambda _: FakeResponse(404)) as port:
        await check_api(Settings(port=port), report)

    (finding,) = report.results
    assert finding.state is Status.FAILED
    assert "PORT" in finding.advice


@pytest.mark.parametrize(("status", "state"), [(200, Status.OK), (503, Status.FAILED)])
async def test_the_inventorys_health(status: int, state: Status) -> None:
    report = CheckReport()
    with standin(lambda _: FakeResponse(status)) as port:
        await check_inventory(Settings(inventory_port=port), report)

    (finding,) = report.results
    assert finding.state is state
    assert bool(finding.advice) == (state is Status.FAILED)


# Redis


async def test_redis_that_wants_a_password() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(b"-NOAUTH Authentication required.\r\n" * 4)
        writer.close()

    report = CheckReport()
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await check_redis(Settings(redis_port=port), report)

    (finding,) = report.results
    assert finding.state is Status.FAILED
    assert "REDIS_PASSWORD" in finding.advice


# Kafka


class Groups:
    """What Kafka says of our group."""

    def __init__(self, members: int) -> None:
        self._members = members

    def to_object(self) -> dict[str, Any]:
        return {"groups": [{"members": [{}] * self._members}]}


def admin(topics: Sequence[str], members: int) -> Any:
    """Kafka's administrator with these topics, and so many members of our group."""

    class Admin:
        def __init__(self, **_: Any) -> None: ...
        async def start(self) -> None: ...
        async def close(self) -> None: ...
        async def list_topics(self) -> list[str]:
            return [*topics]

        async def describe_consumer_groups(self, _: list[str]) -> list[Groups]:
            return [Groups(members)]

    return Admin


@pytest.mark.parametrize(("members", "state"), [(0, Status.FAILED), (2, Status.OK)])
async def test_events_wait_when_nobody_consumes(
    monkeypatch: pytest.MonkeyPatch, members: int, state: Status
) -> None:
    monkeypatch.setattr(services, "AIOKafkaAdminClient", admin(TOPICS, members))
    report = CheckReport()

    await check_kafka(Settings(), report)

    finding = by_part(report)["consumer"]
    assert finding.state is state
    assert "cart-service-group" in finding.what
    assert ("consumer.py" in finding.advice) is (members == 0)


async def test_missing_topics_send_to_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [topic for topic in TOPICS if topic != "cart.dlq"]
    monkeypatch.setattr(services, "AIOKafkaAdminClient", admin(there, 1))
    report = CheckReport()

    await check_kafka(Settings(), report)

    finding = by_part(report)["Kafka topics"]
    assert finding == CheckResult(
        "Kafka topics", Status.FAILED, "missing: cart.dlq", "run `cart setup`"
    )
