"""`cart ops`: queries, steps from a history, what to do next, tables, and exit codes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import WorkflowExecutionStatus

from adapters.mongo.outbox import Waiting
from cli.console import CliError, output
from cli.ops import desk as desks
from cli.ops.desk import Desk
from cli.ops.dossier import Dossier, advice
from cli.ops.history import entries
from cli.ops.relays import PendingEffect, parse_relay
from cli.ops.sagas import End, Saga, SagaFilter, cart_of, duration, quoted, saga_of
from cli.ops.tables import print_dossier, span
from models.errors import DependencyUnavailable
from models.relays import RelayKind
from settings import Settings
from tests.replay import histories
from tests.unit.cli_standin import clear_environment, run
from workflows.pages import Pages

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
RUN_ID = "6f2d8a3e-0000-4000-8000-000000000001"


def saga(end: End = End.COMMITTED, **changed: Any) -> Saga:
    made = Saga(
        workflow_id="cart/store-1/user-1",
        run_id=RUN_ID,
        status=None,
        end=end,
        operation="AddItem",
        operation_id="0" * 32,
        store_id="store-1",
        user_id="user-1",
        product_id="headphones",
        order_id=None,
        attention=False,
        started_at=NOW - timedelta(seconds=3),
        closed_at=None if end is End.RUNNING else NOW,
        url="http://ui/run",
    )
    return replace(made, **changed)


def test_a_filter_is_the_query_that_the_web_ui_takes() -> None:
    where = SagaFilter(
        store="store-1",
        user="user-1",
        operation="AddItem",
        outcome=End.ABORTED,
        attention=True,
        older_than=timedelta(minutes=5),
    )
    assert where.query(NOW) == (
        "CartOperation IS NOT NULL AND CartStoreId = 'store-1' AND CartUserId = 'user-1' "
        "AND CartOperation = 'AddItem' AND CartOutcome = 'aborted' AND CartAttention = true "
        "AND StartTime < '2026-01-27T10:25:00.000Z'"
    )


def test_a_committed_saga_is_one_that_completed_without_another_outcome() -> None:
    query = SagaFilter(outcome=End.COMMITTED).query(NOW)
    assert query.endswith("AND ExecutionStatus = 'Completed' AND CartOutcome IS NULL")


@pytest.mark.parametrize("value", ["it's", "a b", "", "x' OR 'y"])
def test_what_is_no_id_gets_into_no_query(value: str) -> None:
    with pytest.raises(CliError):
        quoted(value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86_400)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["5", "m", "-5m", "5 m", "5w"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="for instance"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("store-1/user-1", "cart/store-1/user-1"),
        ("cart/store-1/user-1", "cart/store-1/user-1"),
        ("store-1", None),
        ("a/b/c", None),
        ("/user-1", None),
    ],
)
def test_carts_by_name(text: str, found: str | None) -> None:
    assert cart_of(text) == found


def test_relays_by_name() -> None:
    assert parse_relay("events/3") == parse_relay("relay/events/3") == (RelayKind.EVENTS, 3)
    assert parse_relay("orders/3") is None


@pytest.mark.parametrize(
    ("status", "attribute", "end"),
    [
        (WorkflowExecutionStatus.RUNNING, None, End.RUNNING),
        (WorkflowExecutionStatus.COMPLETED, None, End.COMMITTED),
        (WorkflowExecutionStatus.COMPLETED, "rejected", End.REJECTED),
        (WorkflowExecutionStatus.CANCELED, "aborted", End.ABORTED),
        (WorkflowExecutionStatus.FAILED, None, End.FAILED),
        (WorkflowExecutionStatus.TERMINATED, None, End.FAILED),
    ],
)
def test_how_a_saga_stands(
    status: WorkflowExecutionStatus, attribute: str | None, end: End
) -> None:
    outcome = {"CartOutcome": attribute} if attribute else {}
    assert saga_of(cast("Desk", FakeDesk()), cast("Any", execution(status, outcome))).end is end


def execution(status: WorkflowExecutionStatus, attributes: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(
        id="cart/store-1/user-1",
        run_id=RUN_ID,
        workflow_type="AddItem",
        status=status,
        start_time=NOW - timedelta(seconds=3),
        close_time=NOW,
        typed_search_attributes=SimpleNamespace(get=lambda key: attributes.get(key.name)),
    )


# What the history tells


def test_the_steps_of_an_add() -> None:
    told = entries(histories.load("add_committed"))
    assert [entry.what for entry in told][:3] == ["started", "reserve_hold", "commit_change"]
    assert told[-1].what == "completed"
    reserve = told[1]
    assert (reserve.tries, reserve.note) == (1, "")
    assert reserve.seconds is not None
    assert 0 < reserve.seconds < 5


def test_who_aborted_and_why() -> None:
    told = entries(histories.load("add_undone_by_an_operator"))
    [signal] = [entry for entry in told if entry.what == "signal abort"]
    assert signal.note == "an operator says so"


def test_a_failed_step_says_why() -> None:
    told = entries(histories.load("add_undone_without_inventory"))
    [reserve] = [entry for entry in told if entry.what == "reserve_hold"]
    assert (reserve.tries or 0) > 1
    assert "inventory is unavailable" in reserve.note


# What to do next


def next_steps(of: Saga, **changed: Any) -> str:
    dossier = Dossier(of, at=NOW, holds={})
    for name, value in changed.items():
        setattr(dossier, name, value)
    return "\n".join(advice(dossier, deadline=30))


EFFECT = PendingEffect(
    id="e-1",
    kind="event",
    what="cart.item.added",
    store_id="store-1",
    user_id="user-1",
    operation_id="0" * 32,
    run_id=RUN_ID,
    relay=(RelayKind.EVENTS, 3),
    since=NOW,
)


@pytest.mark.parametrize(
    ("of", "known", "expected"),
    [
        (saga(), {}, "Nothing: it has ended"),
        (saga(End.ABORTED), {}, "changed nothing"),
        (saga(End.RUNNING), {}, "cart ops wait store-1/user-1"),
        (
            saga(End.RUNNING, started_at=NOW - timedelta(minutes=2)),
            {},
            "cart ops abort store-1/user-1",
        ),
        (saga(End.RUNNING, attention=True), {}, "waits for MongoDB"),
        (saga(End.FAILED), {}, "failed"),
        (saga(), {"effects": [EFFECT]}, "cart ops retry events/3"),
        (saga(), {"holds": {"headphones": 2}}, "holds 2 x headphones"),
        (saga(), {"unknown": ["inventory"], "holds": None}, "inventory does not answer"),
    ],
)
def test_what_to_do_next(of: Saga, known: dict[str, Any], expected: str) -> None:
    assert expected in next_steps(of, **known)


def test_a_saga_on_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    dossier = Dossier(
        saga(),
        at=NOW,
        steps=entries(histories.load("add_committed")),
        holds={"headphones": 2},
        effects=[EFFECT],
        next=["Do this"],
    )
    print_dossier(output(), dossier)
    shown = capsys.readouterr().out
    for part in (
        "AddItem committed after 3.0 s",
        "store-1/user-1",
        "http://ui/run",
        "reserve_hold",
        "Cart: none",
        "Held by the inventory: 2 x headphones",
        "event cart.item.added",
        "Do this",
    ):
        assert part in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0042, "4 ms"), (3.14, "3.1 s"), (600, "10 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_times_that_passed(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


# The commands, at a desk whose systems are in memory


class FakeTemporal:
    def __init__(self, runs: list[SimpleNamespace]) -> None:
        self.runs = runs
        self.queries: list[str] = []

    async def list_workflows(self, query: str, **_: Any) -> AsyncIterator[SimpleNamespace]:
        self.queries.append(query)
        for one in self.runs:
            if query.startswith("CartOperation"):
                yield one

    async def count_workflows(self, *_: Any, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(count=len(self.runs))


class FakeOutbox:
    def __init__(self) -> None:
        self.left: list[Waiting] = []

    async def waiting(self, shards: int) -> list[Waiting]:
        assert shards > 0
        return self.left

    async def holder(self, _: str) -> None:
        return None


class FakeIntake:
    async def active(self) -> list[Any]:
        return []

    async def release(self, *_: Any, **__: Any) -> None:
        return None


class FakeGateway:
    def __init__(self) -> None:
        self.signals: list[tuple[Any, ...]] = []

    async def signal_relay(self, *words: Any, shards: int) -> None:
        assert shards == 16
        self.signals.append(words)


class FakeDesk:
    def __init__(self) -> None:
        self.settings = Settings()
        self.temporal = FakeTemporal([])
        self.gateway = FakeGateway()
        self.pages = Pages("http://ui", "default")
        self.outbox = FakeOutbox()
        self.intake = FakeIntake()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> FakeDesk:
    clear_environment(monkeypatch)
    fake = FakeDesk()

    @asynccontextmanager
    async def open_desk(_: Settings) -> AsyncIterator[FakeDesk]:
        yield fake

    monkeypatch.setattr(desks, "open_desk", open_desk)
    return fake


def test_the_list_as_a_table_and_as_json(
    desk: FakeDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.temporal.runs = [execution(WorkflowExecutionStatus.COMPLETED, {"CartStoreId": "store-1"})]
    shown = run(capsys, "ops", "list", "--store", "store-1")
    assert shown.code == 0
    assert "1 of 1 sagas" in shown.out
    assert "committed" in shown.out
    told = run(capsys, "ops", "list", "--store", "store-1", "--json").json
    assert told["count"] == 1
    assert told["sagas"][0] == {
        "workflowId": "cart/store-1/user-1",
        "runId": RUN_ID,
        "operation": "AddItem",
        "operationId": None,
        "storeId": "store-1",
        "userId": None,
        "productId": None,
        "orderId": None,
        "outcome": "committed",
        "attention": False,
        "startedAt": "2026-01-27T10:29:57+00:00",
        "closedAt": "2026-01-27T10:30:00+00:00",
        "seconds": 3.0,
        "url": f"http://ui/namespaces/default/workflows/cart%2Fstore-1%2Fuser-1/{RUN_ID}/history",
    }


def test_nothing_stuck_exits_0(desk: FakeDesk, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "ops", "stuck")
    assert (ended.code, ended.out) == (0, "Nothing is stuck\n")
    assert desk.temporal.queries


def test_effects_that_no_relay_does_are_stuck(
    desk: FakeDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    old = datetime.now(UTC) - timedelta(minutes=5)
    desk.outbox.left = [Waiting(RelayKind.EVENTS, 3, 7, old)]
    ended = run(capsys, "ops", "stuck", "--json")
    assert ended.code == 1
    [problem] = ended.json["problems"]
    assert problem["what"] == "7 events/3 effects are pending, and no relay runs"
    assert "`cart ops retry events/3`" in problem["advice"]


def test_pause_tells_who_and_why(desk: FakeDesk, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "ops", "pause", "events/3", "--reason", "new broker", "--by", "alice")
    assert (ended.code, ended.out) == (0, "told to pause: events/3\n")
    assert desk.gateway.signals == [(RelayKind.EVENTS, 3, "pause", "new broker", "alice")]


def test_all_relays_only_when_their_number_is_confirmed(
    desk: FakeDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.outbox.left = [Waiting(RelayKind.EVENTS, shard, 1, NOW) for shard in (1, 2)]
    assert run(capsys, "ops", "retry", "--all", "--dry-run").out == (
        "would be told to retry_now: events/1, events/2\n"
    )
    assert run(capsys, "ops", "retry", "--all", "--confirm", "3").code == 6
    assert desk.gateway.signals == []
    assert run(capsys, "ops", "retry", "--all", "--confirm", "2", "--by", "alice").code == 0
    assert len(desk.gateway.signals) == 2


def test_with_no_relay_at_work_there_is_nothing_to_confirm(
    desk: FakeDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when they are done by the time that somebody types it."""
    ended = run(capsys, "ops", "retry", "--all", "--reason", "Kafka is back")
    assert (ended.code, ended.out, ended.err) == (0, "told to retry_now: none\n", "")

    expected_two = run(capsys, "ops", "retry", "--all", "--confirm", "2")
    assert expected_two.code == 6
    assert expected_two.err == "nothing was done: 0 relays were found and 2 was confirmed\n"
    assert desk.gateway.signals == []


def test_a_watch_goes_on_until_it_is_interrupted(
    desk: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(desks, "WATCH_SECONDS", 0)
    asked = []

    async def waiting(_: int) -> list[Waiting]:
        asked.append(1)
        if len(asked) > 2:
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr(desk.outbox, "waiting", waiting)
    ended = run(capsys, "ops", "pending", "--json", "--watch")
    assert (ended.code, ended.out.count('"relays": []')) == (0, 2)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("retry",), 2),
        (("retry", "events/3", "--all"), 2),
        (("retry", "events/16"), 2),
        (("pause", "events/3"), 2),
        (("abort", "--reason", "x"), 2),
        (("abort", "store-1/user-1", "--store", "store-1", "--reason", "x"), 2),
        (("list", "--older-than", "5"), 2),
        (("list", "--outcome", "done"), 2),
        (("show", "what"), 2),
        (("skip", "e-1", "--reason", "x"), 3),
        (("release-intake", "--store", "store-1"), 3),
    ],
)
def test_exit_codes(
    desk: FakeDesk, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int
) -> None:
    ended = run(capsys, "ops", *words)
    assert ended.code == code, ended.err
    assert ended.err
    assert desk.gateway.signals == []


def test_a_server_that_is_away_is_one_line(
    desk: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def away(_: int) -> list[Waiting]:
        raise DependencyUnavailable("mongodb", "connection refused")

    monkeypatch.setattr(desk.outbox, "waiting", away)
    ended = run(capsys, "ops", "pending")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "mongodb is unavailable: connection refused: see `cart doctor`\n"


def test_no_temporal_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)
    ended = run(capsys, "ops", "list")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Temporal does not answer")
    assert ended.err.count("\n") == 1


Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complete:
    """What the shell offers for a line."""

    def words_for(line: str) -> list[str]:
        monkeypatch.setenv("_CART_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        return run(capsys).out.split()

    return words_for


def test_the_shell_completes_commands_and_values(complete: Complete) -> None:
    assert complete("cart o") == ["ops"]
    assert complete("cart ops res") == ["resume"]
    assert complete("cart ops list --outcome com") == ["committed"]
