"""`cart doctor` names what is wrong and what to do, for each way in which a part can be wrong."""

import asyncio
import gc
import socket
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.errors import OperationFailure
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.service import RPCError, RPCStatusCode

from adapters.mongo import DOCUMENTS
from cli.doctor import checks, kafka, mongodb, temporal
from cli.doctor.findings import Finding, Report, State
from cli.doctor.mongodb import check_mongodb
from cli.doctor.redis import check_redis
from cli.doctor.services import check_api, check_inventory
from cli.doctor.settings_check import check_settings
from cli.temporal import TemporalPlace
from models.events import TOPICS
from settings import Environment, Settings
from tests.unit.cli_standin import Response, clear_environment, run, standin
from workflows.ids import SEARCH_ATTRIBUTES

PARTS = ("API", "Temporal", "MongoDB", "Redis", "Kafka", "inventory")


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


def by_part(report: Report) -> dict[str, Finding]:
    found = {finding.part: finding for finding in report.findings}
    assert len(found) == len(report.findings)
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
    assert "127.0.0.1:1 does not answer (connection refused)" in ended.out
    assert "1 ok, 1 warn, 6 failed" in ended.out


# pymongo does not close a connection whose handshake it is told to end.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_servers_that_accept_and_say_nothing_do_not_hold_it_up(
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
    assert took < 5
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


@pytest.mark.parametrize(("state", "code"), [(State.OK, 0), (State.WARN, 0), (State.FAILED, 1)])
def test_only_failures_fail_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: State,
    code: int,
) -> None:
    found = checks.Examination([Finding("Redis", state, "so it is", "do this")], hanging=False)
    monkeypatch.setattr(checks, "examine", lambda _: found)

    ended = run(capsys, "doctor")

    assert ended.code == code
    assert "so it is" in ended.out


# Settings


async def test_deployed_with_what_is_meant_for_a_laptop() -> None:
    report = Report()
    settings = Settings(
        environment=Environment.STAGING, host="0.0.0.0", inventory_faults=True, log_level="debug"
    )

    await check_settings(settings, report)

    assert {finding.state for finding in report.findings} == {State.WARN}
    told = " ".join(finding.what for finding in report.findings)
    for name in ("JWT_SECRET", "HS256", "INVENTORY_FAULTS", "KAFKA_IDEMPOTENCE", "LOG_LEVEL"):
        assert name in told
    assert all(finding.advice for finding in report.findings)


async def test_carts_that_hold_no_stock_are_a_warning() -> None:
    report = Report()

    await check_settings(Settings(enable_inventory_reservation=False), report)

    (finding,) = report.findings
    assert finding.state is State.WARN
    assert "oversold" in finding.what


# The API and the inventory


async def test_an_api_that_is_not_ready_names_what_it_misses() -> None:
    def answer(request: Any) -> Response:
        if request.path == "/health/live":
            return Response(200, {"status": "ok"})
        return Response(503, {"services": {"mongodb": "disconnected", "temporal": "connected"}})

    report = Report()
    with standin(answer) as port:
        await check_api(Settings(port=port), report)

    (finding,) = report.findings
    assert finding.state is State.FAILED
    assert "live but not ready (503: mongodb disconnected)" in finding.what


async def test_something_else_on_the_apis_port() -> None:
    report = Report()
    with standin(lambda _: Response(404)) as port:
        await check_api(Settings(port=port), report)

    (finding,) = report.findings
    assert finding.state is State.FAILED
    assert "PORT" in finding.advice


@pytest.mark.parametrize(("status", "state"), [(200, State.OK), (503, State.FAILED)])
async def test_the_inventorys_health(status: int, state: State) -> None:
    report = Report()
    with standin(lambda _: Response(status)) as port:
        await check_inventory(Settings(inventory_port=port), report)

    (finding,) = report.findings
    assert finding.state is state
    assert bool(finding.advice) == (state is State.FAILED)


# Redis


async def test_redis_that_wants_a_password() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(b"-NOAUTH Authentication required.\r\n" * 4)
        writer.close()

    report = Report()
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await check_redis(Settings(redis_port=port), report)

    (finding,) = report.findings
    assert finding.state is State.FAILED
    assert "REDIS_PASSWORD" in finding.advice


# Kafka


async def test_missing_topics_send_to_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    class Admin:
        def __init__(self, **_: Any) -> None: ...
        async def start(self) -> None: ...
        async def close(self) -> None: ...
        async def list_topics(self) -> list[str]:
            return [topic for topic in TOPICS if topic != "cart.dlq"]

    monkeypatch.setattr(kafka, "AIOKafkaAdminClient", Admin)
    report = Report()

    await kafka.check_kafka(Settings(), report)

    finding = by_part(report)["Kafka topics"]
    assert finding == Finding("Kafka topics", State.FAILED, "missing: cart.dlq", "run `cart setup`")


# MongoDB


class Mongo:
    """As much of a client as the check uses, right in everything until told otherwise."""

    hello: dict[str, Any] = {"setName": "rs0", "isWritablePrimary": True}
    limit: object = 5
    pending = 0

    def __init__(self) -> None:
        self.indexes = {
            document.Settings.name: {
                str(index.document["name"]): {
                    **index.document,
                    "key": list(index.document["key"].items()),
                }
                for index in document.Settings.indexes
            }
            for document in DOCUMENTS
        }
        self.admin = SimpleNamespace(command=self._command)

    def get_default_database(self, _: str) -> Any:
        return {name: self._collection(name) for name in self.indexes}

    async def close(self) -> None: ...

    async def _command(self, command: Any) -> dict[str, Any]:
        if command == "hello":
            return self.hello
        if isinstance(self.limit, Exception):
            raise self.limit
        return {"transactionLifetimeLimitSeconds": self.limit}

    def _collection(self, name: str) -> Any:
        async def index_information() -> Any:
            return self.indexes[name]

        async def count_documents(_: Any) -> int:
            return self.pending

        async def find_one(*_: Any, **__: Any) -> Any:
            return {"at": datetime(2026, 1, 27, 10, 30, tzinfo=UTC)}

        return SimpleNamespace(
            index_information=index_information, count_documents=count_documents, find_one=find_one
        )


@pytest.fixture
def mongo(monkeypatch: pytest.MonkeyPatch) -> Mongo:
    client = Mongo()
    monkeypatch.setattr(mongodb, "AsyncMongoClient", lambda *_, **__: client)
    return client


async def examine_mongodb() -> dict[str, Finding]:
    report = Report()
    await check_mongodb(Settings(), report)
    return by_part(report)


async def test_mongodb_as_it_should_be(mongo: Mongo) -> None:
    found = await examine_mongodb()

    assert {finding.state for finding in found.values()} == {State.OK}
    assert len(found) == 4


async def test_mongodb_without_a_replica_set(mongo: Mongo) -> None:
    mongo.hello = {"isWritablePrimary": True}

    finding = (await examine_mongodb())["MongoDB"]

    assert finding.state is State.FAILED
    assert "rs.initiate()" in finding.advice


async def test_a_long_transaction_limit_is_a_warning(mongo: Mongo) -> None:
    mongo.limit = 60

    finding = (await examine_mongodb())["MongoDB transactions"]

    assert finding.state is State.WARN
    assert "60" in finding.what
    assert "transactionLifetimeLimitSeconds=5" in finding.advice


async def test_a_transaction_limit_that_we_may_not_read_is_a_warning(mongo: Mongo) -> None:
    mongo.limit = OperationFailure("not authorized on admin", 13)

    finding = (await examine_mongodb())["MongoDB transactions"]

    assert finding.state is State.WARN
    assert "not allowed" in finding.what


async def test_missing_and_different_indexes(mongo: Mongo) -> None:
    del mongo.indexes["carts"]["sellerId_1"]

    finding = (await examine_mongodb())["MongoDB indexes"]

    assert finding.state is State.FAILED
    assert finding.what == "missing: carts.sellerId_1"
    assert finding.advice == "run `cart setup`"


async def test_an_index_that_expires_carts_too_early(mongo: Mongo) -> None:
    mongo.indexes["carts"]["expireAt_1"]["expireAfterSeconds"] = 0

    finding = (await examine_mongodb())["MongoDB indexes"]

    assert finding.state is State.FAILED
    assert "carts.expireAt_1" in finding.what


async def test_effects_that_stay_pending_are_a_warning(mongo: Mongo) -> None:
    mongo.pending = 3

    finding = (await examine_mongodb())["pending effects"]

    assert finding.state is State.WARN
    assert finding.what.startswith("3 operations have events to publish or stock to give back")
    assert "2026-01-27 10:30:00" in finding.what


# Temporal


class Cluster:
    """A Temporal client whose services answer from these fields."""

    namespace = "default"

    def __init__(self) -> None:
        self.refusal: RPCError | None = None
        self.attributes: dict[str, Any] = {
            name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
            for name, kind in SEARCH_ATTRIBUTES.items()
        }
        self.polled = timedelta(seconds=10)
        self.workflow_service = SimpleNamespace(
            describe_namespace=self._describe_namespace,
            describe_task_queue=self._describe_task_queue,
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

    async def _list_attributes(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(custom_attributes=self.attributes)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()

    async def connect(_: Any) -> Cluster:
        return made

    monkeypatch.setattr(TemporalPlace, "connect", connect)
    return made


async def examine_temporal(**values: Any) -> dict[str, Finding]:
    report = Report()
    await temporal.check_temporal(Settings(**values), report)
    return by_part(report)


async def test_temporal_as_it_should_be(cluster: Cluster) -> None:
    with standin(lambda _: Response(200)) as port:
        found = await examine_temporal(temporal_ui_port=port)

    assert {finding.state for finding in found.values()} == {State.OK}
    assert len(found) == 4


async def test_no_web_ui_is_a_warning(cluster: Cluster) -> None:
    finding = (await examine_temporal())["Temporal Web UI"]

    assert finding.state is State.WARN
    assert "TEMPORAL_UI_PORT" in finding.advice


async def test_a_namespace_that_does_not_exist(cluster: Cluster) -> None:
    cluster.refusal = RPCError("not found", RPCStatusCode.NOT_FOUND, b"")

    finding = (await examine_temporal())["Temporal"]

    assert finding.state is State.FAILED
    assert "temporal operator namespace create --namespace default" in finding.advice


async def test_a_key_that_is_refused(cluster: Cluster) -> None:
    cluster.refusal = RPCError("denied", RPCStatusCode.PERMISSION_DENIED, b"")

    finding = (await examine_temporal())["Temporal"]

    assert finding.state is State.FAILED
    assert "TEMPORAL_API_KEY" in finding.advice


async def test_missing_search_attributes_send_to_setup(cluster: Cluster) -> None:
    del cluster.attributes["CartOutcome"]

    finding = (await examine_temporal())["search attributes"]

    assert finding == Finding(
        "search attributes", State.FAILED, "missing: CartOutcome", "run `cart setup`"
    )


async def test_a_search_attribute_of_another_type(cluster: Cluster) -> None:
    cluster.attributes["CartAttention"] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

    finding = (await examine_temporal())["search attributes"]

    assert finding.state is State.FAILED
    assert finding.what == "CartAttention is KEYWORD, not Bool"


async def test_no_worker_has_asked_for_work(cluster: Cluster) -> None:
    cluster.polled = timedelta(minutes=2)

    finding = (await examine_temporal())["worker"]

    assert finding.state is State.FAILED
    assert "python worker.py" in finding.advice


async def test_a_temporal_profile_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_PROFILE", "no-such-profile")

    finding = (await examine_temporal())["Temporal"]

    assert finding.state is State.FAILED
    assert "TEMPORAL_PROFILE" in finding.advice
