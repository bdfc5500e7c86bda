"""The findings of `cart doctor` about MongoDB, with a fake client."""

import os
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from adapters.mongo.client import DOCUMENTS
from cli.doctor import mongodb
from cli.doctor.mongodb import check_mongodb
from cli.doctor.results import CheckReport, CheckResult, Status
from settings import Settings
from tests.unit.cli_standin import clear_environment


@pytest.fixture(autouse=True)
def unused_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


def by_part(report: CheckReport) -> dict[str, CheckResult]:
    found = {finding.part: finding for finding in report.results}
    assert len(found) == len(report.results)
    return found


class FakeMongoClient:
    """The parts of a client that the check uses, without problems by default."""

    hello: dict[str, Any] = {"setName": "rs0", "isWritablePrimary": True}
    limit: object = 5
    disk_used = 40
    write_refusal: OperationFailure | None = None
    watch: dict[str, Any] | None

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
        self.validators: dict[str, dict[str, Any]] = {"carts": {}}
        self.pending: list[dict[str, Any]] = []
        self.paused: list[dict[str, Any]] = []
        self.reports = [calls_report(call("mongodb", "command", now=0.004, usual=0.003))]
        began = datetime.now(UTC) - timedelta(seconds=8)
        pass_ = {"began": began, "carts": 12}
        self.watch = {
            "at": began,
            "last": pass_,
            "position": None,
            "whole": pass_,
            "drifts": [],
            "more": False,
        }

    def get_default_database(self, _: str) -> Any:
        return FakeDatabase(self)

    async def close(self) -> None: ...

    async def _command(self, command: Any) -> dict[str, Any]:
        if command == "hello":
            return self.hello
        if isinstance(self.limit, Exception):
            raise self.limit
        return {"transactionLifetimeLimitSeconds": self.limit}


@dataclass
class FakeDatabase:
    client: FakeMongoClient

    def __getitem__(self, name: str) -> "FakeCollection":
        return FakeCollection(self.client, name)

    async def list_collections(self) -> AsyncIterator[dict[str, Any]]:
        return _each(
            {"name": name, "options": {"validator": validator}}
            for name, validator in self.client.validators.items()
        )

    async def command(self, _: str) -> dict[str, Any]:
        return {"fsUsedSize": self.client.disk_used, "fsTotalSize": 100}


async def _each(documents: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for document in documents:
        yield document


@dataclass
class FakeCollection:
    client: FakeMongoClient
    name: str

    def with_options(self, **_: Any) -> "FakeCollection":
        return self

    async def index_information(self) -> Any:
        return self.client.indexes[self.name]

    async def count_documents(self, *_: Any, hint: str, **__: Any) -> int:
        return len(self._pending(hint))

    async def replace_one(self, *_: Any, **__: Any) -> None:
        if self.client.write_refusal:
            raise self.client.write_refusal

    async def delete_one(self, *_: Any) -> None: ...

    async def find_one(self, *_: Any) -> Any:
        return self.client.watch

    def find(self, *_: Any, hint: str = "", **__: Any) -> "FakeCursor":
        found: dict[str, list[Any]] = {
            "carts": [],
            "operations": self._pending(hint),
            "processReports": self.client.reports,
            "intakeHolds": self.client.paused,
        }
        return FakeCursor(found[self.name])

    def _pending(self, index: str) -> list[Any]:
        return self.client.pending if index == "releases_by_since" else []


class FakeCursor:
    def __init__(self, documents: Sequence[Any]) -> None:
        self._documents = documents

    def sort(self, *_: Any) -> "FakeCursor":
        return self

    def limit(self, most: int) -> "FakeCursor":
        return FakeCursor(self._documents[:most])

    async def __aiter__(self) -> AsyncIterator[Any]:
        for one in self._documents:
            yield one


@pytest.fixture
def mongo(monkeypatch: pytest.MonkeyPatch) -> FakeMongoClient:
    client = FakeMongoClient()
    monkeypatch.setattr(mongodb, "AsyncMongoClient", lambda *_, **__: client)
    return client


async def examine_mongodb() -> dict[str, CheckResult]:
    report = CheckReport()
    await check_mongodb(Settings(), report)
    return by_part(report)


async def test_mongodb_as_it_should_be(mongo: FakeMongoClient) -> None:
    found = await examine_mongodb()

    assert {finding.state for finding in found.values()} == {Status.OK}
    assert len(found) == 10
    assert found["holds"].what.startswith("all 12 carts and their holds agreed 8")


async def test_mongodb_without_a_replica_set(mongo: FakeMongoClient) -> None:
    mongo.hello = {"isWritablePrimary": True}

    finding = (await examine_mongodb())["MongoDB"]

    assert finding.state is Status.FAILED
    assert "rs.initiate()" in finding.advice


async def test_a_long_transaction_limit_is_a_warning(mongo: FakeMongoClient) -> None:
    mongo.limit = 60

    finding = (await examine_mongodb())["MongoDB transactions"]

    assert finding.state is Status.WARN
    assert "60" in finding.what
    assert "transactionLifetimeLimitSeconds=5" in finding.advice


async def test_a_transaction_limit_that_we_may_not_read_is_a_warning(
    mongo: FakeMongoClient,
) -> None:
    mongo.limit = OperationFailure("not authorized on admin", 13)

    finding = (await examine_mongodb())["MongoDB transactions"]

    assert finding.state is Status.WARN
    assert "not allowed" in finding.what


async def test_missing_and_different_indexes(mongo: FakeMongoClient) -> None:
    del mongo.indexes["carts"]["sellerId_1"]

    finding = (await examine_mongodb())["MongoDB indexes"]

    assert finding.state is Status.FAILED
    assert finding.what == "missing: carts.sellerId_1"
    assert finding.advice == "run `cart setup`"


async def test_an_index_that_expires_carts_too_early(mongo: FakeMongoClient) -> None:
    mongo.indexes["carts"]["expireAt_1"]["expireAfterSeconds"] = 0

    finding = (await examine_mongodb())["MongoDB indexes"]

    assert finding.state is Status.FAILED
    assert "carts.expireAt_1" in finding.what


def pending_release(product: str, problem: str | None, bucket: int = 3) -> dict[str, Any]:
    since = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
    return {
        "storeId": "shop",
        "due": {"release": {"bucket": bucket, "since": since, "attempts": 7, "problem": problem}},
        "effects": [{"kind": "release", "productId": product}],
    }


async def test_effects_that_stay_pending_are_named_with_their_relay(mongo: FakeMongoClient) -> None:
    mongo.pending = [
        *(pending_release("lamp", "inventory is unavailable: answered 500") for _ in range(2)),
        pending_release("desk", None, bucket=20),
    ]

    finding = (await examine_mongodb())["pending effects"]

    assert finding.state is Status.WARN
    assert finding.what.startswith("3 operations have events to publish or units to release")
    assert "2026-01-27 10:30:00" in finding.what
    assert "relay release/3, shop/lamp: inventory is unavailable: answered 500" in finding.what
    assert "relay release/4, shop/desk: not tried: the relay is paused" in finding.what


async def test_a_mongodb_that_answers_and_refuses_writes(mongo: FakeMongoClient) -> None:
    mongo.write_refusal = OperationFailure("No space left on device", 14031)

    finding = (await examine_mongodb())["MongoDB"]

    assert finding.state is Status.FAILED
    assert "answers, and refuses a write: No space left on device" in finding.what
    assert "disk" in finding.advice


async def test_a_disk_that_is_nearly_full(mongo: FakeMongoClient) -> None:
    mongo.disk_used = 95

    finding = (await examine_mongodb())["MongoDB disk"]

    assert (finding.state, finding.what[:3]) == (Status.FAILED, "95%")


async def test_paused_stores_are_named_with_the_time(mongo: FakeMongoClient) -> None:
    at = datetime.now(UTC) - timedelta(hours=5)
    mongo.paused = [{"storeId": "shop", "by": "eve", "reason": "stocktaking", "at": at}]

    finding = (await examine_mongodb())["paused stores"]

    assert finding.state is Status.WARN
    assert finding.what == "shop for 5 h, by eve: stocktaking"
    assert "`cart ops release-intake --store shop`" in finding.advice


# What the processes report


def calls_report(*calls: dict[str, Any]) -> dict[str, Any]:
    return {
        "_id": "worker elsewhere 1",
        "process": "worker",
        "at": datetime.now(UTC),
        "calls": [*calls],
    }


def call(
    dependency: str,
    name: str,
    *,
    now: float | None = None,
    usual: float | None = None,
    down: str | None = None,
    refused: str | None = None,
    failing: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    return {
        "dependency": dependency,
        "call": name,
        "nowSeconds": now,
        "usualSeconds": usual,
        "down": down,
        "refused": refused,
        "failing": [
            {"subject": subject, "reason": why, "failures": 9, "forSeconds": 40.0}
            for subject, why in failing
        ],
        "failingSubjects": len(failing),
    }


async def test_a_validator_of_our_collections_is_named(mongo: FakeMongoClient) -> None:
    assert "MongoDB validators" not in await examine_mongodb()
    mongo.validators = {"operations": {"never": {"$exists": True}}, "theirs": {"a": 1}}

    finding = (await examine_mongodb())["MongoDB validators"]

    assert finding.state is Status.FAILED
    assert finding.what.startswith("operations has a validator")
    assert '{"collMod": "operations", "validator": {}}' in finding.advice


@pytest.mark.parametrize(
    ("now", "usual", "state"),
    [
        (1.5, 0.012, Status.WARN),
        (0.4, 0.012, Status.WARN),
        (0.09, 0.002, Status.OK),  # too short to notice
        (0.3, 0.2, Status.OK),  # it always takes so long
        (1.5, None, Status.WARN),
        (0.3, None, Status.OK),
    ],
)
async def test_a_slow_call_is_shown_beside_what_is_usual(
    mongo: FakeMongoClient, now: float, usual: float | None, state: Status
) -> None:
    mongo.reports = [calls_report(call("inventory", "reserve", now=now, usual=usual))]

    finding = (await examine_mongodb())["calls"]

    assert finding.state is state
    if now == 1.5:
        known = "usually 12 ms" if usual else "what is usual is not known yet"
        assert finding.what == f"inventory reserve takes 1.5 s, {known}"


async def test_what_is_usual_is_known_from_an_earlier_process(mongo: FakeMongoClient) -> None:
    """A worker that was started while the inventory was slow knows nothing faster."""
    before = calls_report(call("inventory", "reserve", now=0.4, usual=0.012))
    before |= {"_id": "worker elsewhere 0", "at": datetime.now(UTC) - timedelta(minutes=5)}
    for usual in (None, 0.4):
        restarted = calls_report(call("inventory", "reserve", now=0.4, usual=usual))
        mongo.reports = [before, restarted]
        finding = (await examine_mongodb())["calls"]
        assert finding.what == "inventory reserve takes 400 ms, usually 12 ms"


async def test_a_call_that_fails_for_all_is_a_failure_only_where_carts_need_it(
    mongo: FakeMongoClient,
) -> None:
    for name, state in (("reserve", Status.FAILED), ("check", Status.WARN)):
        mongo.reports = [calls_report(call("inventory", name, down="answered 500"))]
        finding = (await examine_mongodb())["calls"]
        assert (finding.state, finding.what) == (state, f"inventory {name} fails: answered 500")


@pytest.mark.parametrize(
    ("dependency", "state"), [("mongodb", Status.FAILED), ("redis", Status.WARN)]
)
async def test_what_a_system_has_refused_lately_is_named(
    mongo: FakeMongoClient, dependency: str, state: Status
) -> None:
    mongo.reports = [calls_report(call(dependency, "command", refused="failed validation"))]

    finding = (await examine_mongodb())["calls"]

    assert finding.state is state
    assert finding.what == f"{dependency} command is refused: failed validation"


async def test_a_product_that_keeps_failing_is_named(mongo: FakeMongoClient) -> None:
    failing = [(f"shop/lamp-{n}", "/reserve answered 500") for n in range(5)]
    mongo.reports = [
        calls_report(call("inventory", "reserve", failing=failing)),
        calls_report(call("inventory", "reserve")),  # of another process
    ]

    finding = (await examine_mongodb())["failing now"]

    assert finding.state is Status.WARN
    assert finding.what.startswith(
        "inventory reserve fails for shop/lamp-0 (9 times in 40.0 s: /reserve answered 500); "
    )
    assert finding.what.endswith("; and 2 more")
    assert "`cart doctor --inventory shop lamp-0`" in finding.advice


async def test_a_partition_that_keeps_failing_is_named(mongo: FakeMongoClient) -> None:
    failing = [("cart.item.added/2", "NotEnoughReplicasError()")]
    mongo.reports = [calls_report(call("kafka", "publish", failing=failing))]

    finding = (await examine_mongodb())["failing now"]

    assert finding.what.startswith("kafka publish fails for cart.item.added/2 (9 times")
    assert "--inventory" not in finding.advice


async def test_an_event_that_waits_for_its_cart_is_named_with_the_cart(
    mongo: FakeMongoClient,
) -> None:
    subject = "order.completed/1, offset 7, cart/507f1f77bcf86cd799439011"
    mongo.reports = [
        calls_report(call("kafka", "consume", failing=[(subject, "the cart is busy")]))
    ]
    mongo.watch = (mongo.watch or {}) | {"storeId": "shop", "userId": "eve"}

    finding = (await examine_mongodb())["failing now"]

    assert subject in finding.what
    assert "`cart ops show shop/eve`" in finding.advice


async def test_without_reports_nothing_is_known_of_calls(mongo: FakeMongoClient) -> None:
    mongo.reports = []

    found = await examine_mongodb()

    assert found["processes"].state is Status.WARN
    assert "calls" not in found


async def test_a_process_that_reports_no_more_is_named(mongo: FakeMongoClient) -> None:
    """As one that hangs: Kafka may still show it as a member of its group."""
    old = datetime.now(UTC) - timedelta(seconds=45)
    name = f"consumer {socket.gethostname()} {os.getpid()}"
    mongo.reports += [{"_id": name, "process": "consumer", "at": old, "calls": []}]

    finding = (await examine_mongodb())["processes"]

    assert finding.state is Status.FAILED
    assert finding.what.startswith("no consumer has reported for 45.")
    assert f"process {os.getpid()} (" in finding.what
    assert f"kill -9 {os.getpid()}" in finding.advice

    mongo.reports[-1]["_id"] = "consumer elsewhere 1"
    finding = (await examine_mongodb())["processes"]
    assert finding.what.endswith("the last was 1 on elsewhere")

    newer = {"_id": "consumer elsewhere 2", "process": "consumer", "calls": []}
    mongo.reports += [newer | {"at": datetime.now(UTC)}]
    finding = (await examine_mongodb())["processes"]
    assert (finding.state, finding.what) == (Status.OK, "2 report (consumer, worker)")


def drift(user: str, kind: str = "orphaned_hold", store: str = "store-1") -> dict[str, Any]:
    found = {"kind": kind, "product_id": "lamp", "detail": "3 held, 0 in the cart"}
    return {"store_id": store, "user_id": user, "run_id": "run", "drift": found}


async def test_a_leaked_hold_is_named_with_the_command_that_repairs_it(
    mongo: FakeMongoClient,
) -> None:
    assert mongo.watch
    mongo.watch["drifts"] = [drift("alice"), drift("bob", "missing_hold")]

    finding = (await examine_mongodb())["holds"]

    assert finding.state is Status.FAILED
    assert finding.what == (
        "store-1/alice, lamp: 3 held, 0 in the cart (a leaked hold, which no cart has); "
        "store-1/bob, lamp: 3 held, 0 in the cart (a cart without its hold)"
    )
    assert "`cart reconcile --store store-1`" in finding.advice


async def test_of_many_leaked_holds_some_are_named_and_the_rest_counted(
    mongo: FakeMongoClient,
) -> None:
    assert mongo.watch
    mongo.watch |= {"drifts": [drift("user", store=f"store-{n}") for n in range(9)], "more": True}

    finding = (await examine_mongodb())["holds"]

    assert finding.what.endswith("; and 6 more, at least")
    assert "`cart reconcile` lists all drifts" in finding.advice


@pytest.mark.parametrize("whole", [None, {"began": datetime.now(UTC), "carts": 100_000}])
async def test_an_incomplete_comparison_of_holds_is_reported(
    mongo: FakeMongoClient, whole: Any
) -> None:
    assert mongo.watch
    mongo.watch |= {"position": {"store_id": "store-1"}, "whole": whole}

    finding = (await examine_mongodb())["holds"]

    assert finding.state is Status.OK
    assert finding.what.startswith("12 carts and their holds agree so far")
    rest = "all 100000 agreed in the pass" if whole else "`cart reconcile` compares all"
    assert rest in finding.what


async def test_holds_that_are_never_compared_are_a_warning(mongo: FakeMongoClient) -> None:
    assert mongo.watch
    mongo.watch["at"] -= timedelta(minutes=5)
    finding = (await examine_mongodb())["holds"]
    assert (finding.state, finding.what) == (
        Status.WARN,
        "carts and holds were last compared 5 min ago",
    )
    assert "cart-watch" in finding.advice

    mongo.watch = None
    finding = (await examine_mongodb())["holds"]
    assert (finding.state, "cart-watch" in finding.advice) == (Status.WARN, True)
