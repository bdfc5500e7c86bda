"""`cart ops`: queries, steps from a history, what to do next, tables, and exit codes."""

import asyncio
import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio.client import WorkflowExecutionStatus

from adapters.mongo.outbox import Waiting
from cli.console import show
from cli.ops import connections as opening
from cli.ops.views import report_page
from models.audit import AuditEntry
from models.cart import CartKey
from models.effects import EffectKind, ReleaseEffect
from models.errors import DependencyUnavailable
from models.outcomes import Outcome
from ops.advice import advice
from ops.errors import ServerAwayError, UnusableError
from ops.filters import RunState, SagaQuery, SagaState, quoted
from ops.history import entries
from ops.relays import PendingEffect, RelayId, parse_relay, pending_effects
from ops.report import SagaReport
from ops.sagas import SagaSummary, Stored, cart_key, summary_of
from ops.times import duration, span
from tests.fakes.api import RUN_ID, record_of
from tests.fakes.operators import FakeConnections, execution, opened_as
from tests.replay import histories
from tests.unit.cli_standin import clear_environment, run
from workflows import ids

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


def saga(state: SagaState = Outcome.COMMITTED, **changed: Any) -> SagaSummary:
    made = SagaSummary(
        workflow_id="cart/store-1/user-1",
        run_id=RUN_ID,
        state=state,
        operation="AddItem",
        operation_id="0" * 32,
        store_id="store-1",
        user_id="user-1",
        product_id="headphones",
        order_id=None,
        attention=False,
        started_at=NOW - timedelta(seconds=3),
        closed_at=None if state is RunState.RUNNING else NOW,
        url="http://ui/run",
    )
    return replace(made, **changed)


def test_a_filter_is_the_query_that_the_web_ui_takes() -> None:
    where = SagaQuery(
        store="store-1",
        user="user-1",
        operation="AddItem",
        outcome=Outcome.ABORTED,
        attention=True,
        older_than=timedelta(minutes=5),
    )
    assert where.query(NOW) == (
        "CartOperation IS NOT NULL AND CartStoreId = 'store-1' AND CartUserId = 'user-1' "
        "AND CartOperation = 'AddItem' AND CartOutcome = 'aborted' "
        "AND ((CartAttention = true AND ExecutionStatus = 'Running') "
        "OR ExecutionStatus = 'Failed' OR ExecutionStatus = 'TimedOut' "
        "OR ExecutionStatus = 'Terminated') "
        "AND StartTime < '2026-01-27T10:25:00.000Z'"
    )


def test_a_committed_saga_is_one_that_completed_without_another_outcome() -> None:
    query = SagaQuery(outcome=Outcome.COMMITTED).query(NOW)
    assert query.endswith("AND ExecutionStatus = 'Completed' AND CartOutcome IS NULL")


def test_any_user_can_be_searched_for() -> None:
    """Temporal's databases escape quotes differently, so a query never has one."""
    for user in ("auth0|x", "a b", "https://id.example.com/ada?x=1", "x' OR 'y", "back\\", '"'):
        literal = quoted(ids.user_attribute(user))
        assert re.fullmatch(r"'[^'\"\\]+'", literal)
        assert (literal == f"'{user}'") == ids.is_searchable(user)
        assert literal in SagaQuery(user=user).query(NOW)


@pytest.mark.parametrize("value", ["", "a\nb", "x" * 256, "it's", "x' OR 'y", "a\\"])
def test_an_invalid_id_is_refused_before_the_query(value: str) -> None:
    with pytest.raises(UnusableError):
        quoted(value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86_400)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["5", "m", "-5m", "5 m", "5w"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="for instance"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("store-1/user-1", ("store-1", "user-1")),
        ("cart/store-1/user-1", ("store-1", "user-1")),
        ("store-1/auth0|x y", ("store-1", "auth0|x y")),
        ("store-1/https://id.example.com/ada", ("store-1", "https://id.example.com/ada")),
        ("store-1/100%25", ("store-1", "100%25")),
        ("cart/store-1/auth0%7Cx%20y", ("store-1", "auth0|x y")),
        ("cart/ada", ("cart", "ada")),
        ("store-1", None),
        ("a/b/c", ("a", "b/c")),
        ("no store/user", None),
        ("store-1/a\nb", None),
        ("/user-1", None),
    ],
)
def test_carts_by_name(text: str, found: tuple[str, str] | None) -> None:
    assert cart_key(text) == found


def test_relays_by_name() -> None:
    assert parse_relay("event/3") == parse_relay("relay/event/3") == (EffectKind.EVENT, 3)
    assert parse_relay("orders/3") is None


def test_a_pending_effect_names_the_run_that_left_it() -> None:
    release = ReleaseEffect(
        id="r-1", product_id="headphones", quantity=2, saga_id="s", reason="saga_aborted"
    )
    record = record_of(effects=[release], pending=True)
    [effect] = pending_effects(FakeConnections(), [record])
    shown = effect.as_dict()
    assert (shown["effectId"], shown["kind"], shown["runId"]) == ("r-1", "release", RUN_ID)
    assert parse_relay(shown["relay"]) is not None


@pytest.mark.parametrize(
    ("status", "attribute", "state"),
    [
        (WorkflowExecutionStatus.RUNNING, None, RunState.RUNNING),
        (WorkflowExecutionStatus.COMPLETED, None, Outcome.COMMITTED),
        (WorkflowExecutionStatus.COMPLETED, "rejected", Outcome.REJECTED),
        (WorkflowExecutionStatus.CANCELED, "aborted", RunState.CANCELED),
        (WorkflowExecutionStatus.TIMED_OUT, None, RunState.TIMED_OUT),
        (WorkflowExecutionStatus.FAILED, None, RunState.FAILED),
        (WorkflowExecutionStatus.TERMINATED, None, RunState.TERMINATED),
    ],
)
def test_how_a_saga_stands(
    status: WorkflowExecutionStatus, attribute: str | None, state: SagaState
) -> None:
    outcome = {"CartOutcome": attribute} if attribute else {}
    connections = FakeConnections()
    assert summary_of(connections, cast("Any", execution(status, outcome))).state is state


# Steps from a history


def test_the_steps_of_an_add() -> None:
    shown = entries(histories.load("add_committed"))
    assert [entry.what for entry in shown][:3] == ["started", "reserve_inventory", "persist_cart"]
    assert shown[-1].what == "completed"
    reserve = shown[1]
    assert (reserve.tries, reserve.note) == (1, "")
    assert reserve.seconds is not None
    assert 0 < reserve.seconds < 5


def test_who_aborted_and_why() -> None:
    shown = entries(histories.load("add_undone_by_an_operator"))
    [signal] = [entry for entry in shown if entry.what == "signal abort"]
    assert signal.note == "an operator says so"


def test_a_failed_step_says_why() -> None:
    shown = entries(histories.load("add_undone_without_inventory"))
    [reserve] = [entry for entry in shown if entry.what == "reserve_inventory"]
    assert (reserve.tries or 0) > 1
    assert "inventory is unavailable" in reserve.note


# What to do next


def next_steps(of: SagaSummary, **changed: Any) -> str:
    report = SagaReport(CartKey("store-1", "user-1"), at=NOW, saga=of, holds={})
    for name, value in changed.items():
        setattr(report, name, value)
    return "\n".join(advice(report, deadline=30))


EFFECT = PendingEffect(
    effect_id="e-1",
    kind="event",
    what="cart.item.added",
    store_id="store-1",
    user_id="user-1",
    operation_id="0" * 32,
    run_id=RUN_ID,
    relay=RelayId(EffectKind.EVENT, 3),
    since=NOW,
)


@pytest.mark.parametrize(
    ("of", "known", "expected"),
    [
        (saga(), {}, "Nothing: it has ended"),
        (saga(Outcome.ABORTED), {}, "changed nothing"),
        (saga(RunState.RUNNING), {}, "cart ops wait store-1/user-1"),
        (
            saga(RunState.RUNNING, started_at=NOW - timedelta(minutes=2)),
            {},
            "cart ops abort store-1/user-1",
        ),
        (saga(RunState.RUNNING, attention=True), {}, "waits for MongoDB"),
        (saga(RunState.FAILED), {}, "because of a defect"),
        (saga(RunState.TIMED_OUT), {}, "longer than Temporal lets it"),
        (saga(RunState.CANCELED), {}, "cancellation was requested"),
        (saga(RunState.TERMINATED, stored=Stored.UNDECIDED), {}, "has no record yet"),
        (saga(RunState.TERMINATED, stored=Stored.YES), {}, "stored and stays"),
        (saga(RunState.TERMINATED, stored=Stored.NO), {}, "changed nothing"),
        (saga(RunState.TERMINATED, stored=Stored.UNKNOWN), {}, "Only MongoDB knows"),
        (saga(RunState.TERMINATED), {}, f"cart ops ack {RUN_ID}"),
        (saga(), {"effects": [EFFECT]}, "cart ops retry event/3"),
        (saga(), {"holds": {"headphones": 2}}, "holds 2 x headphones"),
        (saga(), {"unasked": {"inventory": "?"}, "holds": None}, "inventory could not be asked"),
    ],
)
def test_what_to_do_next(of: SagaSummary, known: dict[str, Any], expected: str) -> None:
    assert expected in next_steps(of, **known)


def test_who_terminated_and_why() -> None:
    history = histories.load("add_committed")
    last = history.events[-1]
    last.ClearField("workflow_execution_completed_event_attributes")
    last.workflow_execution_terminated_event_attributes.reason = "wrong queue"
    last.workflow_execution_terminated_event_attributes.identity = "alice@ops"
    entry = entries(history)[-1]
    assert (entry.what, entry.note) == ("terminated", "by alice@ops: wrong queue")


def test_a_saga_on_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    report = SagaReport(
        CartKey("store-1", "user-1"),
        at=NOW,
        saga=saga(),
        steps=entries(histories.load("add_committed")),
        holds={"headphones": 2},
        effects=[EFFECT],
        next=["Do this"],
    )
    show(None, *report_page(report))
    shown = capsys.readouterr().out
    for part in (
        "AddItem committed after 3.0 s",
        "store-1/user-1",
        "http://ui/run",
        "reserve_inventory",
        "Cart: none",
        "Reserved in the inventory: 2 x headphones",
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


# The commands, connected to systems in memory


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> FakeConnections:
    clear_environment(monkeypatch)
    fake = FakeConnections()
    opened_as(monkeypatch, fake)
    return fake


def test_the_list_as_a_table_and_as_json(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    systems.temporal.runs = [
        execution(WorkflowExecutionStatus.COMPLETED, {"CartStoreId": "store-1"})
    ]
    shown = run(capsys, "ops", "list", "--store", "store-1")
    assert shown.code == 0
    assert "1 of 1 sagas" in shown.out
    assert "committed" in shown.out
    shown = run(capsys, "ops", "list", "--store", "store-1", "--json").json
    assert shown["count"] == 1
    assert shown["sagas"][0] == {
        "workflowId": "cart/store-1/user-1",
        "runId": RUN_ID,
        "operation": "AddItem",
        "operationId": None,
        "storeId": "store-1",
        "userId": None,
        "productId": None,
        "orderId": None,
        "outcome": "committed",
        "reason": None,
        "reset": False,
        "stored": None,
        "acknowledged": None,
        "attention": False,
        "startedAt": "2026-01-27T10:29:57Z",
        "closedAt": "2026-01-27T10:30:00Z",
        "seconds": 3.0,
        "url": f"http://ui/namespaces/default/workflows/cart%2Fstore-1%2Fuser-1/{RUN_ID}/history",
    }


def test_nothing_stuck_exits_0(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(capsys, "ops", "stuck")
    assert (ended.code, ended.out) == (0, "Nothing is stuck\n")
    assert systems.temporal.queries


def test_effects_that_no_relay_does_are_stuck(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    old = datetime.now(UTC) - timedelta(minutes=5)
    systems.outbox.left = [Waiting(EffectKind.EVENT, 3, 7, old, old)]
    ended = run(capsys, "ops", "stuck", "--json")
    assert ended.code == 1
    [problem] = ended.json["problems"]
    assert problem["what"] == "7 event/3 effects are pending, and no relay runs"
    assert "`cart ops retry event/3`" in problem["advice"]


def test_pause_tells_who_and_why(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(capsys, "ops", "pause", "event/3", "--reason", "new broker", "--by", "alice")
    assert (ended.code, ended.out) == (0, "sent pause to: event/3\n")
    assert systems.gateway.signals == [(EffectKind.EVENT, 3, "pause", "new broker", "alice")]
    assert systems.gateway.audited == [
        AuditEntry(
            command="ops_pause",
            operator="alice",
            count=1,
            reason="new broker",
            what={"relays": ["event/3"]},
        )
    ]


def test_all_relays_only_when_their_number_is_confirmed(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    systems.outbox.left = [Waiting(EffectKind.EVENT, shard, 1, NOW, NOW) for shard in (1, 2)]
    assert run(capsys, "ops", "retry", "--all", "--dry-run").out == (
        "would send retry_now to: event/1, event/2\n"
    )
    assert run(capsys, "ops", "retry", "--all", "--confirm", "3").code == 6
    assert systems.gateway.signals == []
    assert run(capsys, "ops", "retry", "--all", "--confirm", "2", "--as", "alice").code == 0
    assert [(one.command, one.operator, one.count) for one in systems.gateway.audited] == [
        ("ops_retry", "alice", 2)
    ]
    assert len(systems.gateway.signals) == 2


def test_with_no_relay_at_work_there_is_nothing_to_confirm(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when the relays end before the operator confirms."""
    ended = run(capsys, "ops", "retry", "--all", "--reason", "Kafka is back")
    assert (ended.code, ended.out, ended.err) == (0, "sent retry_now to: none\n", "")
    assert systems.gateway.audited == [], "nothing was changed"

    expected_two = run(capsys, "ops", "retry", "--all", "--confirm", "2")
    assert expected_two.code == 6
    assert expected_two.err == "Aborted: 0 relays matched, not 2\n"
    assert systems.gateway.signals == []


def test_a_watch_goes_on_until_it_is_interrupted(
    systems: FakeConnections, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(opening, "WATCH_SECONDS", 0)
    asked = []

    async def waiting(_: int) -> list[Waiting]:
        asked.append(1)
        if len(asked) > 2:
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr(systems.outbox, "waiting_shards", waiting)
    ended = run(capsys, "ops", "pending", "--json", "--watch")
    assert (ended.code, ended.out.count('"relays": []')) == (130, 2)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("retry",), 2),
        (("retry", "event/3", "--all"), 2),
        (("retry", "event/16"), 2),
        (("pause", "event/3"), 2),
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
    systems: FakeConnections, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int
) -> None:
    ended = run(capsys, "ops", *words)
    assert ended.code == code, ended.err
    assert ended.err
    assert systems.gateway.signals == []


def test_what_temporal_knows_is_shown_while_mongodb_is_away(
    systems: FakeConnections, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def away(_: int) -> list[Waiting]:
        raise DependencyUnavailable("mongodb", "connection refused")

    monkeypatch.setattr(systems.outbox, "waiting_shards", away)
    attention = {"CartOperation": "AddItem", "CartAttention": True}
    systems.temporal.runs = [execution(WorkflowExecutionStatus.RUNNING, attention)]
    relay = execution(WorkflowExecutionStatus.RUNNING, {"CartAttention": True})
    relay.id = "relay/event/3"
    systems.temporal.relays = [relay]

    ended = run(capsys, "ops", "stuck", "--json")
    assert (ended.code, ended.json["ok"]) == (7, False)
    assert ended.json["unasked"] == {"mongodb": "connection refused"}
    kinds = {problem["kind"]: problem for problem in ended.json["problems"]}
    assert kinds.keys() == {"saga", "relay"}
    assert "an unknown number pending" in kinds["relay"]["what"]

    systems.unasked.clear()
    ended = run(capsys, "ops", "pending")
    assert (ended.code, "event/3" in ended.out) == (7, True)
    assert ended.err == (
        "Incomplete: MongoDB (connection refused) could not be asked; see `cart doctor`\n"
    )
    assert "pending effects: unknown" in ended.out
    systems.unasked.clear()
    ended = run(capsys, "ops", "pending", "--json")
    assert (ended.code, ended.json["relays"][0]["effects"]) == (7, None)
    systems.unasked.clear()
    assert run(capsys, "ops", "retry", "--all").code == 1
    assert systems.gateway.signals == []


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_list_shows_whole_ids_and_times(
    systems: FakeConnections,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    width: int,
) -> None:
    names = {"CartStoreId": "shop-10", "CartUserId": "user-1", "CartProductId": "headphones"}
    systems.temporal.runs = [execution(WorkflowExecutionStatus.COMPLETED, names)]
    monkeypatch.setenv("COLUMNS", str(width))
    _, _, *lines, _ = run(capsys, "ops", "list").out.split("in the Web UI")[0].splitlines()
    shown = " ".join(lines)
    for whole in ("shop-10", "user-1", "headphones", "2026-01-27 10:29:57Z", "committed", RUN_ID):
        assert whole in shown
    assert max(map(len, lines)) <= width


def test_what_is_to_be_confirmed_is_not_in_the_json(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    systems.temporal.runs = [execution(WorkflowExecutionStatus.RUNNING, {"CartStoreId": "shop-10"})]
    words = ("ops", "abort", "--store", "shop-10", "--reason", "x")
    ended = run(capsys, *words, "--json")
    assert (ended.code, ended.out) == (6, "")
    assert RUN_ID in ended.err
    assert "Aborted: 1 sagas matched; confirm with --confirm 1" in ended.err
    assert run(capsys, *words, "--json", "--dry-run").json["count"] == 1


@pytest.mark.parametrize("answer", [None, ""])
def test_a_question_without_an_answer_changes_nothing(
    systems: FakeConnections,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str | None,
) -> None:
    """Standard input is no terminal, or a terminal on which Ctrl-D is typed."""
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: answer is not None, raising=False)
    monkeypatch.setattr("sys.stdin", stdin)
    systems.outbox.left = [Waiting(EffectKind.EVENT, 1, 1, NOW, NOW)]
    ended = run(capsys, "ops", "retry", "--all")
    assert (ended.code, ended.out) == (6, "")
    assert ended.err.endswith("Aborted: 1 relays matched; confirm with --confirm 1\n")
    assert systems.gateway.signals == []


def test_no_temporal_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)
    ended = run(capsys, "ops", "list")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Temporal does not answer")
    assert ended.err.count("\n") == 1


def test_a_server_that_never_answers_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clear_environment(monkeypatch)
    monkeypatch.setattr("ops.connections.SERVER_SECONDS", 0.05)
    connections, asked = FakeConnections(), []

    async def never() -> int:
        asked.append(1)
        await asyncio.sleep(60)
        return 0

    assert asyncio.run(connections.ask("mongodb", never, 7)) == 7
    assert asyncio.run(connections.ask("mongodb", never, 8)) == 8
    assert len(asked) == 1
    assert connections.unasked == {"mongodb": "no answer in time"}
    with pytest.raises(ServerAwayError, match="MongoDB does not answer"):
        asyncio.run(connections.need("mongodb", never))


Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complete:
    """The completions of the shell for a line."""

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
