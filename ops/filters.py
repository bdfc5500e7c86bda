"""Filters for sagas, and the visibility queries that they become."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from models.outcomes import Outcome
from models.user_id import USER_ID_RULE, is_user_id
from models.wire import timestamp
from ops.errors import UnusableError
from workflows import ids


class RunState(StrEnum):
    """States of a run that has no outcome."""

    RUNNING = "running"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    TERMINATED = "terminated"
    CANCELED = "canceled"


SagaState = Outcome | RunState
STATES: tuple[SagaState, ...] = (*Outcome, *RunState)

# A committed saga has no `CartOutcome` (see docs/operations.md).
_QUERIES: dict[str, str] = {
    Outcome.COMMITTED: f"ExecutionStatus = 'Completed' AND {ids.OUTCOME} IS NULL",
    RunState.RUNNING: "ExecutionStatus = 'Running'",
    RunState.FAILED: "ExecutionStatus = 'Failed'",
    RunState.TIMED_OUT: "ExecutionStatus = 'TimedOut'",
    RunState.TERMINATED: "ExecutionStatus = 'Terminated'",
    RunState.CANCELED: "ExecutionStatus = 'Canceled'",
}

_WAITING = f"({ids.ATTENTION} = true AND ExecutionStatus = 'Running')"

STOPPED = (RunState.FAILED, RunState.TIMED_OUT, RunState.TERMINATED)
"""States that need attention until they are acknowledged: a defect, or a run without an undo."""
ENDED_FROM_OUTSIDE = (*STOPPED, RunState.CANCELED)
"""States of runs that have not ended by themselves."""


def saga_state(text: str) -> SagaState:
    """The state with this name; raises `ValueError` for any other text."""
    for state in STATES:
        if state == text:
            return state
    raise ValueError(f"must be one of {', '.join(STATES)}")


@dataclass(frozen=True)
class SagaFilter:
    """Which sagas; None means any. `older_than` is how long ago they started, at least."""

    store: str | None = None
    user: str | None = None
    product: str | None = None
    operation: str | None = None
    attention: bool = False
    older_than: timedelta | None = None


@dataclass(frozen=True)
class SagaQuery(SagaFilter):
    """A filter with what only a list needs. `outcome` is a
    `SagaState`, `newer_than` how long ago they started, at most."""

    outcome: str | None = None
    order: str | None = None
    newer_than: timedelta | None = None

    def query(self, now: datetime) -> str:
        """The filter in Temporal's query language, as the Web UI takes it too."""
        parts = [f"{ids.OPERATION} IS NOT NULL"]
        for name, value in (
            (ids.STORE_ID, self.store),
            (ids.USER_ID, self.user and ids.user_attribute(self.user)),
            (ids.PRODUCT_ID, self.product),
            (ids.OPERATION, self.operation),
            (ids.ORDER_ID, self.order),
        ):
            if value is not None:
                parts.append(f"{name} = {quoted(value)}")
        if self.outcome is not None:
            default = f"{ids.OUTCOME} = {quoted(self.outcome)}"
            parts.append(_QUERIES.get(self.outcome, default))
        if self.attention:
            stopped = " OR ".join(_QUERIES[state] for state in STOPPED)
            parts.append(f"({_WAITING} OR {stopped})")
        if self.older_than is not None:
            parts.append(f"StartTime < '{timestamp(now - self.older_than)}'")
        if self.newer_than is not None:
            parts.append(f"StartTime > '{timestamp(now - self.newer_than)}'")
        return " AND ".join(parts)


def quoted(value: str) -> str:
    """A value in a visibility query; raises `UnusableError` for one that cannot be an id."""
    if not is_user_id(value) or not ids.is_searchable(value):  # the widest of all ids
        rule = f"{USER_ID_RULE}, without quotes and backslashes"
        raise UnusableError(f"{value!r} is no id: it {rule}")
    return ids.in_query(value)
