"""`cart privacy`: what is exported and erased of a user, what remains, and the exit codes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from aiokafka.errors import KafkaConnectionError
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from activities.privacy import ERASURE
from adapters.kafka.dead_letters import Letter
from adapters.keyring import Keyring
from adapters.mongo.privacy import Person
from adapters.shoppers import SHOPPER
from cli import privacy
from cli.console import ExitCode
from models.audit import AuditEntry
from models.documents import Cart, OperationRecord
from models.errors import DependencyUnavailable
from models.outcomes import StoredAnswer
from models.privacy import Erased, EraseInput, UserData
from settings import Settings
from tests.fakes import letters
from tests.fakes.api import STORE, cart_of, record_of
from tests.fakes.operators import FakeConnections, execution, opened_as
from tests.unit.cli_standin import CommandResult, clear_environment, run

USER = "ada"
KEYRING = Keyring(Settings().secrets_of_data)
LETTER = replace(
    letters.LETTER,
    error="invalid_json",
    detail="the order of ada cannot be read",
    key=None,
    value=b"{",
)


class FakeTemporal:
    """One run that has ended, with `input` as what it was started with."""

    def __init__(self) -> None:
        self.input: list[dict[str, Any]] = [{"store_id": STORE}]
        self.queries: list[str] = []
        self.down = False

    async def list_workflows(self, query: str, **_: Any) -> AsyncIterator[SimpleNamespace]:
        self.queries.append(query)
        if self.down:
            raise RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
        if "!= 'Running'" in query:
            yield execution(cast(Any, "COMPLETED"), {})

    def get_workflow_handle(self, *_: Any, **__: Any) -> SimpleNamespace:
        async def events(**_: Any) -> AsyncIterator[HistoryEvent]:
            event = HistoryEvent()
            started = event.workflow_execution_started_event_attributes
            for one in self.input:
                started.input.payloads.add(data=orjson.dumps(one))
            yield event

        return SimpleNamespace(fetch_history_events=events)


class FakeGateway:
    def __init__(self) -> None:
        self.erasing: list[EraseInput] = []
        self.tokens: list[str] = []
        self.audited: list[AuditEntry] = []
        self.end: Erased | Exception = Erased(carts=1, records=4, cached=2, histories=3)

    async def audit(self, entry: AuditEntry) -> None:
        self.audited.append(entry)

    async def erase(self, request: EraseInput, token: str) -> SimpleNamespace:
        self.erasing.append(request)
        self.tokens.append(token)

        async def result() -> Erased:
            if isinstance(self.end, Exception):
                raise self.end
            return self.end

        return SimpleNamespace(id="cart/erase", result=result)


class FakeData:
    """The user's documents in MongoDB."""

    def __init__(self) -> None:
        self.asked: list[Person] = []
        answer = StoredAnswer(status=201, body='{"quantity":2}')
        self.record = record_of(user_id=USER, answer=answer, effects=[], lines=[])

    async def carts(self, person: Person) -> list[Cart]:
        self.asked.append(person)
        return [cart_of(user_id=USER, email="ada@example.com")]

    async def records(self, _: Person) -> AsyncIterator[OperationRecord]:
        yield self.record

    async def others(self, _: Person) -> dict[str, list[dict[str, Any]]]:
        return {"acknowledgements": [], "findings": [], "actsAsAdmin": [{"operation": "AddItem"}]}

    async def count(self, _: Person) -> UserData:
        return UserData(carts=1, records=4, pending=1)

    async def answer(self, record: OperationRecord) -> StoredAnswer | None:
        return record.answer


class Systems:
    """All systems that have data of users."""

    def __init__(self) -> None:
        self.temporal, self.gateway, self.data = FakeTemporal(), FakeGateway(), FakeData()
        self.letters: list[Letter] | Exception = [
            LETTER,
            replace(LETTER, id="0/8", detail="another user's"),
        ]
        self.kept: timedelta | None = timedelta(days=7)
        self.keys: list[bytes] | Exception = [b"Cart:1", b"Cart:2"]

    async def read_letters(self, _: Settings) -> list[Letter]:
        if isinstance(self.letters, Exception):
            raise self.letters
        return self.letters

    async def retention(self, *_: Any) -> timedelta | None:
        return self.kept

    async def keys_of_user(self, user: str, _: str | None) -> list[bytes]:
        assert user == USER
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> Systems:
    clear_environment(monkeypatch)
    systems = Systems()
    monkeypatch.setattr(privacy, "PersonalData", lambda: systems.data)
    monkeypatch.setattr(privacy, "CartCache", lambda *_, **__: systems)
    monkeypatch.setattr(privacy, "letters", systems.read_letters)
    monkeypatch.setattr(privacy, "retention", systems.retention)
    opened_as(
        monkeypatch,
        FakeConnections(
            temporal=systems.temporal, gateway=systems.gateway, operations=systems.data
        ),
    )
    return systems


@pytest.fixture
def cart_privacy(systems: Systems, capsys: pytest.CaptureFixture[str]) -> Any:
    assert systems

    def ran(action: str, *words: str) -> CommandResult:
        return run(capsys, "privacy", action, "--user", USER, *words)

    return ran


def test_an_export_has_all_that_there_is_of_the_user(cart_privacy: Any) -> None:
    ran = cart_privacy("export")
    assert ran.code == 0
    found = ran.json
    assert [(one["userId"], one["email"]) for one in found["carts"]] == [(USER, "ada@example.com")]
    [record] = found["operations"]
    assert record["answer"] == {"status": 201, "body": '{"quantity":2}'}
    assert found["actsAsAdmin"] == [{"operation": "AddItem"}]
    assert [one["type"] for one in found["temporal"]] == ["AddItem"]
    [letter] = found["deadLetters"]
    assert (letter["id"], letter["value"]) == ("0/7", "{")
    assert letter["keptUntil"] == "2026-02-03T10:30:00.000Z"
    assert "backups" in found["notIncluded"]


def test_an_export_opens_what_is_sealed_in_the_inputs_of_runs(
    systems: Systems, cart_privacy: Any
) -> None:
    sealed = KEYRING.seal('{"fullName":"Ada Lovelace"}', SHOPPER, STORE, USER)
    systems.temporal.input = [{"store_id": STORE, "shopper": sealed}]
    [run_] = cart_privacy("export").json["temporal"]
    assert run_["input"] == [{"store_id": STORE, "shopper": {"fullName": "Ada Lovelace"}}]


def test_an_export_of_a_store_is_about_that_store_alone(
    systems: Systems, cart_privacy: Any
) -> None:
    assert cart_privacy("export", "--store", STORE).json["store"] == STORE
    assert systems.data.asked == [Person(USER, STORE)]
    assert all(STORE in query for query in systems.temporal.queries)


def test_an_export_is_audited_without_the_users_name(systems: Systems, cart_privacy: Any) -> None:
    cart_privacy("export", "--by", "grace")
    [entry] = systems.gateway.audited
    assert (entry.command, entry.operator, entry.count) == ("privacy_export", "grace", 3)
    assert USER not in entry.model_dump_json()
    cart_privacy("export", "--store", STORE)
    assert systems.gateway.audited[1].what["subject"] != entry.what["subject"]


def test_an_export_has_no_bytes_of_a_batch_that_others_may_share(
    systems: Systems, cart_privacy: Any
) -> None:
    systems.letters = [replace(LETTER, raw="batch", value=b"ada \x00 grace")]
    [letter] = cart_privacy("export").json["deadLetters"]
    assert (letter["id"], letter["value"]) == (LETTER.id, None)


def test_an_export_without_kafka_is_incomplete(systems: Systems, cart_privacy: Any) -> None:
    systems.letters = KafkaConnectionError("no broker")
    ran = cart_privacy("export")
    assert (ran.code, ran.json["deadLetters"]) == (ExitCode.INCOMPLETE, None)
    assert "cart.dlq was not read" in ran.err


def test_an_export_without_temporal_fails(systems: Systems, cart_privacy: Any) -> None:
    systems.temporal.down = True
    ran = cart_privacy("export")
    assert (ran.code, ran.out) == (ExitCode.PROBLEM, "")
    assert "Temporal does not answer (connection refused)" in ran.err


def test_a_dry_run_shows_what_there_is_and_erases_nothing(
    systems: Systems, cart_privacy: Any
) -> None:
    ran = cart_privacy("erase", "--dry-run")
    assert (ran.code, systems.gateway.erasing) == (0, [])
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    for line in ("carts 1", "records 4", "cached 2", "histories 1", "running 0", "8 things"):
        assert line in lines
    assert "not erased: dead letter 0/7 (invalid_json), kept until 2026-02-03T10:30:00.000Z" in (
        lines
    )


def test_nothing_is_erased_without_the_right_number(systems: Systems, cart_privacy: Any) -> None:
    ran = cart_privacy("erase")
    assert ran.code == ExitCode.NOT_CONFIRMED
    assert "8 things matched; confirm with --confirm 8" in ran.err
    ran = cart_privacy("erase", "--confirm", "7")
    assert (ran.code, "8 things matched, not 7" in ran.err) == (ExitCode.NOT_CONFIRMED, True)
    assert (systems.gateway.erasing, systems.gateway.audited) == ([], [])


def test_an_erasure_says_what_it_has_erased_and_what_remains(
    systems: Systems, cart_privacy: Any
) -> None:
    ran = cart_privacy("erase", "--confirm", "8", "--by", "grace")
    assert ran.code == 0
    assert "1 carts cleared, 4 records without the user" in ran.out
    assert "3 histories and 2 cached values deleted" in ran.out
    assert "not erased: backups of MongoDB and Temporal have what they had" in ran.out
    assert "it continues when this command is stopped: " in ran.err
    [request] = systems.gateway.erasing
    assert KEYRING.open(request.user, ERASURE) == USER
    [entry] = systems.gateway.audited
    assert (entry.command, entry.operator, entry.count) == ("privacy_erase", "grace", 8)
    assert [entry.what["subject"]] == systems.gateway.tokens
    assert USER not in request.model_dump_json() + entry.model_dump_json()


def test_an_erasure_that_leaves_something_says_so(systems: Systems, cart_privacy: Any) -> None:
    systems.gateway.end = Erased(records=3, left=UserData(records=1, pending=1))
    ran = cart_privacy("erase", "--confirm", "8")
    assert (ran.code, "1 things are left: run it again" in ran.out) == (ExitCode.NOT_YET, True)


def test_an_erasure_that_fails_says_why(systems: Systems, cart_privacy: Any) -> None:
    systems.gateway.end = WorkflowFailureError(cause=RuntimeError("sealed with another key"))
    ran = cart_privacy("erase", "--confirm", "8")
    assert (ran.code, ran.err.splitlines()[-1]) == (
        ExitCode.PROBLEM,
        "the erasure failed: sealed with another key",
    )


def test_an_erasure_goes_on_without_redis_and_kafka_and_names_what_they_keep(
    systems: Systems, cart_privacy: Any
) -> None:
    systems.keys = DependencyUnavailable("redis", "Connection refused")
    systems.letters = DependencyUnavailable("kafka", "no broker answers")
    ran = cart_privacy("erase", "--dry-run", "--json")
    assert (ran.code, ran.json["found"]["cached"], ran.json["deadLetters"]) == (0, 0, None)
    assert "Redis does not answer (connection refused); its values live for CART_CACHE_TTL" in (
        ran.err
    )
    assert "not erased: cart.dlq, which could not be read" in cart_privacy("erase").out


def test_a_letter_without_a_known_retention_is_named_with_its_topic(
    systems: Systems, cart_privacy: Any
) -> None:
    systems.kept = None
    ran = cart_privacy("erase", "--dry-run")
    assert "dead letter 0/7 (invalid_json), kept until the retention of cart.dlq ends" in ran.out
