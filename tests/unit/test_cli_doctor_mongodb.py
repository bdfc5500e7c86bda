"""The findings of `cart doctor` about MongoDB, with a fake client."""

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
    pending = 0
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
        async def watch(_: Any) -> Any:
            return self.watch

        collections = {name: self._collection(name) for name in self.indexes}
        return collections | {"watches": SimpleNamespace(find_one=watch)}

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

        async def count_documents(_: Any, *, hint: str, **__: Any) -> int:
            return self.pending if hint == "events_by_since" else 0

        async def find_one(*_: Any, hint: str, **__: Any) -> Any:
            if hint != "events_by_since":
                return None
            return {"due": {"event": {"since": datetime(2026, 1, 27, 10, 30, tzinfo=UTC)}}}

        return SimpleNamespace(
            index_information=index_information, count_documents=count_documents, find_one=find_one
        )


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
    assert len(found) == 5
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


async def test_effects_that_stay_pending_are_a_warning(mongo: FakeMongoClient) -> None:
    mongo.pending = 3

    finding = (await examine_mongodb())["pending effects"]

    assert finding.state is Status.WARN
    assert finding.what.startswith("3 operations have events to publish or units to release")
    assert "2026-01-27 10:30:00" in finding.what


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
