"""`cart doctor` names what is wrong and what to do, for each way in which a part can be wrong."""

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from cli.doctor import checks, kafka, redis
from cli.doctor.kafka import check_kafka
from cli.doctor.listeners import process
from cli.doctor.redis import check_redis
from cli.doctor.results import CheckReport, CheckResult, Part, Status
from cli.doctor.services import check_api, check_inventory
from cli.doctor.settings_check import check_settings
from models.events import TOPICS
from settings import Environment, Settings
from tests.support.waiting import eventually
from tests.unit.cli_standin import FakeResponse, clear_environment, run, standin, use_proxies

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


def test_the_table_shows_state_and_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0, 0, 0))
    ended = run(capsys, "doctor")

    assert ended.code == 1
    for column in ("part", "state", "what", "what to do"):
        assert column in ended.out
    assert "does not answer at 127.0.0.1:1 (connection refused)" in ended.out
    assert "2 ok, 1 warn, 6 failed" in ended.out


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
    assert took < 30
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
        environment=Environment.STAGING,
        jwt_secret="32 bytes of a secret of this test",
        data_secrets="32 bytes of a secret of this test",
        inventory_faults=True,
        log_level="debug",
        redis_url="redis://redis",
        allow_insecure_redis=True,
    )

    await check_settings(settings, report)

    assert {finding.state for finding in report.results} == {Status.WARN}
    shown = " ".join(finding.what for finding in report.results)
    for name in ("HS256", "INVENTORY_FAULTS", "KAFKA_IDEMPOTENCE", "REDIS_URL"):
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


async def test_the_inventory_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    use_proxies(monkeypatch)
    report = CheckReport()
    with standin(lambda _: FakeResponse(200, {})) as port:
        await check_inventory(Settings(inventory_port=port), report)
    assert [result.state for result in report.results] == [Status.OK]


@pytest.mark.parametrize(("status", "state"), [(200, Status.OK), (503, Status.FAILED)])
async def test_the_inventorys_health(status: int, state: Status) -> None:
    report = CheckReport()
    with standin(lambda _: FakeResponse(status)) as port:
        await check_inventory(Settings(inventory_port=port), report)

    (finding,) = report.results
    assert finding.state is state
    assert bool(finding.advice) == (state is Status.FAILED)


# Redis


async def examine_redis(answer: Callable[[bytes], bytes]) -> CheckResult:
    """The finding about a server that answers each command."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(4096):
            for _ in range(received.count(b"*")):
                writer.write(answer(received))
        writer.close()

    report = CheckReport()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await check_redis(Settings(redis_port=port), report)
    (finding,) = report.results
    return finding


async def test_redis_that_wants_a_password() -> None:
    finding = await examine_redis(lambda _: b"-NOAUTH Authentication required.\r\n")

    assert finding.state is Status.FAILED
    assert "REDIS_PASSWORD" in finding.advice


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
        ("READONLY You can't write against a read only replica.", "primary"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "disk"),
    ],
)
async def test_redis_that_answers_and_refuses_writes(refusal: str, advice: str) -> None:
    finding = await examine_redis(
        lambda received: f"-{refusal}\r\n".encode() if b"SET\r\n$" in received else b"+PONG\r\n"
    )

    assert finding.state is Status.FAILED
    assert "answers, and refuses a write" in finding.what
    assert advice in finding.advice


# A server that hangs


async def test_a_server_that_hangs_is_not_to_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        report = CheckReport()
        await check_redis(Settings(redis_port=silent.getsockname()[1]), report)

    (finding,) = report.results
    assert f"process {os.getpid()} (" in finding.what
    assert "is alive" in finding.what
    assert f"kill -9 {os.getpid()}" in finding.advice
    assert "make run` (only the servers" not in finding.advice


async def test_a_stopped_process_is_to_be_continued() -> None:
    sleeper = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        sleeper.send_signal(signal.SIGSTOP)

        async def stopped() -> None:
            state = process(sleeper.pid)
            assert state
            assert (state.name, state.is_stopped) == ("sleep", True)
            assert state.advice == f"`kill -CONT {sleeper.pid}` lets it go on"

        await eventually(stopped)
    finally:
        sleeper.kill()
        await sleeper.wait()
    assert process(sleeper.pid) is None


# Kafka


class Groups:
    """What Kafka says of our group."""

    def __init__(self, members: int) -> None:
        self._members = members

    def to_object(self) -> dict[str, Any]:
        return {"groups": [{"members": [{}] * self._members}]}


class FakeKafka:
    """A cluster of three partitions a topic, with so many members of our group."""

    def __init__(self) -> None:
        self.topics: dict[str, list[int]] = {topic: [] for topic in TOPICS}  # without a leader
        self.silent: set[str] = set()  # topics whose end cannot be read
        self.members = 1
        self.hidden: set[str] = set()  # topics that we may not describe

    async def absent(self, _: Any, topics: Sequence[str], __: float) -> dict[str, str]:
        return {
            topic: "TopicAuthorizationFailedError"
            if topic in self.hidden
            else "UnknownTopicOrPartitionError"
            for topic in topics
        }

    async def leaderless(self, *_: Any) -> dict[str, list[int]]:
        return self.topics

    def admin(self, **_: Any) -> Any:
        async def describe(_: list[str]) -> list[Groups]:
            return [Groups(self.members)]

        return SimpleNamespace(start=nothing, close=nothing, describe_consumer_groups=describe)

    def consumer(self, *_: str, **__: Any) -> Any:
        async def end_offsets(partitions: Sequence[TopicPartition]) -> None:
            if partitions[0].topic in self.silent:
                raise KafkaTimeoutError

        return SimpleNamespace(
            start=nothing,
            stop=nothing,
            partitions_for_topic=lambda topic: {0, 1, 2} if topic in self.topics else None,
            end_offsets=end_offsets,
        )


async def nothing() -> None: ...


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    fake = FakeKafka()
    monkeypatch.setattr(kafka, "leaderless_partitions", fake.leaderless)
    monkeypatch.setattr(kafka, "absent_topics", fake.absent)
    monkeypatch.setattr(kafka, "AIOKafkaAdminClient", fake.admin)
    monkeypatch.setattr(kafka, "AIOKafkaConsumer", fake.consumer)
    return fake


async def examine_kafka() -> dict[str, CheckResult]:
    report = CheckReport()
    await check_kafka(Settings(consumer_metrics_port=0), report)
    return by_part(report)


@pytest.mark.parametrize(("members", "state"), [(0, Status.FAILED), (2, Status.OK)])
async def test_events_wait_when_nobody_consumes(
    cluster: FakeKafka, members: int, state: Status
) -> None:
    cluster.members = members

    finding = (await examine_kafka())["consumer"]
    assert finding.state is state
    assert "cart-service-group" in finding.what
    assert ("consumer.py" in finding.advice) is (members == 0)


async def test_kafka_as_it_should_be(cluster: FakeKafka) -> None:
    found = await examine_kafka()

    assert {finding.state for finding in found.values()} == {Status.OK}
    topics = len(TOPICS)
    expected = f"all {topics} exist; read the end of {3 * topics} partitions"
    assert found["Kafka topics"].what == expected


async def test_partitions_without_a_leader_are_named(cluster: FakeKafka) -> None:
    cluster.topics["cart.cleared"] = [0, 2]

    finding = (await examine_kafka())["Kafka topics"]

    assert finding.state is Status.FAILED
    assert finding.what == "no leader: cart.cleared/0, cart.cleared/2; its events wait"
    assert "broker" in finding.advice


async def test_partitions_whose_end_cannot_be_read_are_named(cluster: FakeKafka) -> None:
    cluster.silent = {"cart.dlq"}

    found = await examine_kafka()

    assert found["Kafka topics"].state is Status.FAILED
    assert found["Kafka topics"].what == (
        "the end of cart.dlq/0, cart.dlq/1, cart.dlq/2 cannot be read"
    )
    assert found["Kafka"].state is Status.OK


async def test_topics_that_may_not_be_described_are_told_from_missing_ones(
    cluster: FakeKafka,
) -> None:
    del cluster.topics["cart.dlq"]
    cluster.hidden.add("cart.dlq")
    finding = (await examine_kafka())["Kafka topics"]
    assert finding.what == "this client may not describe cart.dlq"
    assert "docs/deploy.md" in finding.advice


async def test_missing_topics_send_to_setup(cluster: FakeKafka) -> None:
    del cluster.topics["cart.dlq"]

    finding = (await examine_kafka())["Kafka topics"]
    assert finding == CheckResult(
        "Kafka topics", Status.FAILED, "missing: cart.dlq", "run `cart setup`"
    )
