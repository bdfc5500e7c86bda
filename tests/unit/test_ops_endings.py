"""Why sagas ended as they did, from recorded histories, records and acknowledgements."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from models.acknowledgement import Acknowledgement
from models.cart import CartKey
from models.documents import OperationRecord
from models.errors import DependencyUnavailable
from models.outcomes import Outcome
from ops.endings import explain
from ops.errors import NotStoppedError
from ops.filters import RunState, SagaState
from ops.history import started_at
from ops.sagas import SagaSummary, Stored
from ops.signals import acknowledgeable
from tests.fakes.api import RUN_ID, record_of
from tests.fakes.operators import FakeConnections
from tests.replay import histories
from workflows import ids

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
OPERATION = "0" * 32


def saga(state: SagaState, *, attention: bool = False, run_id: str = RUN_ID) -> SagaSummary:
    return SagaSummary(
        workflow_id="cart/store-1/user-1",
        run_id=run_id,
        state=state,
        operation="AddItem",
        operation_id=OPERATION,
        store_id="store-1",
        user_id="user-1",
        product_id="headphones",
        order_id=None,
        attention=attention,
        started_at=NOW,
        closed_at=None if state is RunState.RUNNING else NOW,
        url="http://ui/run",
    )


def ended_by(kind: EventType.ValueType, **fields: str) -> WorkflowHistory:
    """A run of which someone outside, or a defect, made the end."""
    history = histories.load("add_committed")
    last = HistoryEvent(event_id=len(history.events), event_type=kind)
    last.event_time.CopyFrom(history.events[-1].event_time)
    name = EventType.Name(kind).removeprefix("EVENT_TYPE_").lower()
    attributes = getattr(last, f"{name}_event_attributes")
    attributes.SetInParent()
    for field, value in fields.items():
        if field == "failure":
            attributes.failure.message = value
        else:
            setattr(attributes, field, value)
    return WorkflowHistory(history.workflow_id, [*history.events[:-1], last])


class Systems:
    """Temporal's histories by run, and what MongoDB has; each may be away."""

    def __init__(self, history: WorkflowHistory | None) -> None:
        self.history = history
        self.records: dict[str, OperationRecord] = {}
        self.acknowledged: dict[str, Acknowledgement] = {}
        self.temporal_down = self.mongodb_down = False
        self.connections = FakeConnections(
            temporal=self,
            operations=SimpleNamespace(records=self.read_records),
            acknowledgements=SimpleNamespace(of=self.read_acknowledged),
        )

    def get_workflow_handle(self, *_: str, **__: str) -> SimpleNamespace:
        async def fetch_history(**_: Any) -> WorkflowHistory:
            if self.temporal_down:
                raise DependencyUnavailable("temporal", "down")
            if self.history is None:
                raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
            return self.history

        return SimpleNamespace(fetch_history=fetch_history)

    async def read_records(self, wanted: Mapping[str, CartKey]) -> dict[str, OperationRecord]:
        if self.mongodb_down:
            raise DependencyUnavailable("mongodb", "down")
        return {name: self.records[name] for name in wanted if name in self.records}

    async def read_acknowledged(self, runs: list[str]) -> dict[str, Acknowledgement]:
        return {run: self.acknowledged[run] for run in runs if run in self.acknowledged}

    async def explained(self, state: SagaState, **more: Any) -> SagaSummary:
        [found] = await explain(self.connections, [saga(state, **more)])
        return found


@pytest.mark.parametrize(
    ("recorded", "state", "reason"),
    [
        ("add_committed", Outcome.COMMITTED, None),
        ("update_rejected_for_stock", Outcome.REJECTED, "insufficient_stock, 8 available"),
        ("clear_rejected_without_a_cart", Outcome.REJECTED, "cart_not_found"),
        ("add_undone_by_an_operator", Outcome.ABORTED, "operator: an operator says so"),
        ("add_undone_without_inventory", Outcome.ABORTED, "inventory is unavailable"),
        # Its undo had to wait for MongoDB, which is not why it was undone.
        ("add_settled_when_mongodb_is_back", Outcome.ABORTED, "inventory is unavailable"),
        ("add_undone_by_its_deadline", Outcome.ABORTED, "its deadline passed in persist_cart"),
        ("add_reset_when_undone", Outcome.ABORTED, "reset: a test"),
    ],
)
async def test_an_outcome_is_explained_by_its_history(
    recorded: str, state: Outcome, reason: str | None
) -> None:
    found = await Systems(histories.load(recorded)).explained(state)
    assert (found.reason, found.reset) == (reason, "reset" in recorded)
    assert found.stored is None  # its outcome says so


TERMINATED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
FAILED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
TIMED_OUT = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT


@pytest.mark.parametrize(
    ("history", "state", "reason"),
    [
        (
            ended_by(TERMINATED, identity="grace@host", reason="stuck"),
            RunState.TERMINATED,
            "by grace@host: stuck",
        ),
        (ended_by(TERMINATED), RunState.TERMINATED, "by unknown: no reason"),
        (ended_by(FAILED, failure="KeyError: 'price'"), RunState.FAILED, "KeyError: 'price'"),
        (ended_by(TIMED_OUT), RunState.TIMED_OUT, "its timeout at Temporal has passed"),
    ],
    ids=["terminated", "terminated by unknown", "failed", "timed out"],
)
async def test_a_run_that_was_stopped_says_by_whom_and_why(
    history: WorkflowHistory, state: RunState, reason: str
) -> None:
    found = await Systems(history).explained(state)
    assert (found.reason, found.stored) == (reason, Stored.UNDECIDED)


@pytest.mark.parametrize(("attention", "reason"), [(True, "waits for MongoDB"), (False, None)])
async def test_a_running_saga_says_what_it_waits_for(
    *, attention: bool, reason: str | None
) -> None:
    systems = Systems(histories.load("add_committed"))
    found = await systems.explained(RunState.RUNNING, attention=attention)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("record", "stored"),
    [("committed", Stored.YES), ("aborted", Stored.NO), (None, Stored.UNDECIDED)],
)
async def test_the_record_says_whether_the_change_of_a_stopped_run_is_stored(
    record: str | None, stored: Stored
) -> None:
    history = ended_by(TERMINATED)
    systems = Systems(history)
    if record is not None:
        name = ids.record_id(OPERATION, started_at(history))
        systems.records = {name: record_of(state=record)}
    assert (await systems.explained(RunState.TERMINATED)).stored is stored


async def test_without_mongodb_it_is_not_known_what_is_stored() -> None:
    systems = Systems(ended_by(TERMINATED))
    systems.mongodb_down = True
    assert (await systems.explained(RunState.TERMINATED)).stored is Stored.UNKNOWN
    assert systems.connections.incomplete is not None
    assert "MongoDB (down) could not be asked" in systems.connections.incomplete


async def test_a_run_whose_history_was_deleted_is_shown_as_it_was_listed() -> None:
    found = await Systems(None).explained(RunState.FAILED)
    assert (found.reason, found.stored) == (None, Stored.UNKNOWN)


async def test_temporal_is_asked_no_more_once_it_does_not_answer() -> None:
    systems = Systems(histories.load("add_committed"))
    systems.temporal_down = True
    found = await explain(systems.connections, [saga(Outcome.COMMITTED)] * 3)
    assert [one.reason for one in found] == [None] * 3
    assert list(systems.connections.unasked) == ["temporal"]


async def test_an_acknowledged_run_says_by_whom() -> None:
    systems = Systems(ended_by(FAILED, failure="a defect"))
    by_grace: Acknowledgement = Acknowledgement.model_construct(None, id=RUN_ID, by="grace")
    systems.acknowledged = {RUN_ID: by_grace}
    found = (await systems.explained(RunState.FAILED)).acknowledged
    assert found is by_grace


async def test_only_runs_that_were_stopped_can_be_acknowledged() -> None:
    systems = Systems(ended_by(FAILED, failure="a defect"))
    [found] = await acknowledgeable(systems.connections, [saga(RunState.FAILED)])
    assert found.reason == "a defect"
    with pytest.raises(NotStoppedError, match="AddItem on store-1/user-1 is committed: only"):
        await acknowledgeable(systems.connections, [saga(Outcome.COMMITTED)])
