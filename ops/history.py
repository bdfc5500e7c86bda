"""The steps of a saga with their times, read from its event history."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowHistory

from models.wire import to_milliseconds

TERMINATED = "terminated"
RESET = "reset of run "
CANCEL_REQUESTED = "cancellation requested"

_RESET_CAUSE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW

# Events by the name of their attributes, as they are shown.
_STEP_ENDS = ("activity_task_completed", "activity_task_failed", "activity_task_timed_out")
_EVENTS = {
    "workflow_execution_started": "started",
    "workflow_execution_signaled": "signal",
    "workflow_execution_cancel_requested": CANCEL_REQUESTED,
    "workflow_task_timed_out": "worker lost",
    "workflow_task_failed": "workflow task failed",
    "workflow_execution_completed": "completed",
    "workflow_execution_failed": "failed",
    "workflow_execution_timed_out": "timed out",
    "workflow_execution_canceled": "canceled",
    "workflow_execution_terminated": TERMINATED,
    "workflow_execution_continued_as_new": "continued_as_new",
}


@dataclass(frozen=True)
class HistoryEntry:
    """A step, with its duration and tries, or another event of the run."""

    at: datetime
    what: str
    seconds: float | None = None
    tries: int | None = None
    note: str = ""


def entries(history: WorkflowHistory) -> list[HistoryEntry]:
    """Steps and events in the order of their times."""
    found = _local_steps(history.events)
    for event in history.events:
        field = event.WhichOneof("attributes") or ""
        kind = field.removesuffix("_event_attributes")
        at = _time(event.event_time)
        attributes: Any = getattr(event, field, None)
        if kind in _STEP_ENDS:
            note = "timed out" if kind == "activity_task_timed_out" else _failure(attributes)
            scheduled = history.events[attributes.scheduled_event_id - 1]  # ids begin with 1
            what = scheduled.activity_task_scheduled_event_attributes.activity_type.name
            found.append(_step(_time(scheduled.event_time), at, what, note=note))
        elif kind in _EVENTS:
            what, note = _described(kind, attributes)
            found.append(HistoryEntry(at, what, note=note))
    return sorted(found, key=lambda entry: entry.at)


def started_at(history: WorkflowHistory) -> datetime:
    """When the saga started, which identifies its record: the same in every try, in milliseconds.

    Visibility has the start of the run, which is another moment.
    """
    return to_milliseconds(_time(history.events[0].event_time))


def result_of(history: WorkflowHistory) -> dict[str, Any]:
    """The result of a run that has completed, as JSON; empty when there is none."""
    completed = history.events[-1].workflow_execution_completed_event_attributes
    results = _decoded(completed.result)
    return results[0] if results and isinstance(results[0], dict) else {}


def pending_steps(activities: Iterable[PendingActivityInfo]) -> list[HistoryEntry]:
    """Steps that are being tried, which are not in the history yet."""
    return [
        HistoryEntry(
            at=_time(activity.scheduled_time),
            what=activity.activity_type.name,
            tries=activity.attempt,
            note=f"being tried: {activity.last_failure.message}"
            if activity.HasField("last_failure")
            else "being tried",
        )
        for activity in activities
    ]


def _described(kind: str, attributes: Any) -> tuple[str, str]:
    """An event's name and note."""
    what = _EVENTS[kind]
    if kind == "workflow_execution_signaled":
        words = ", ".join(str(word) for word in _decoded(attributes.input) if word)
        return f"{what} {attributes.signal_name}", words
    if kind == "workflow_execution_terminated":
        return what, _by(attributes.identity, attributes.reason)
    if kind == "workflow_execution_cancel_requested":
        return what, _by(attributes.identity, attributes.cause)
    if kind == "workflow_task_failed" and attributes.cause == _RESET_CAUSE:
        # The server does not keep who it was.
        return f"{RESET}{attributes.base_run_id}", _failure(attributes) or "no reason"
    if kind == "workflow_task_timed_out":
        return what, "its workflow task timed out and is tried again"
    return what, _failure(attributes)


def _by(identity: str, reason: str) -> str:
    return f"by {identity or 'unknown'}: {reason or 'no reason'}"


def _failure(attributes: Any) -> str:
    return attributes.failure.message if hasattr(attributes, "failure") else ""


def _local_steps(events: Sequence[HistoryEvent]) -> list[HistoryEntry]:
    """Steps that ran as local activities.

    Each leaves a marker when its workflow task ends, with the time at which the step began and the
    workflow's own clock, which stands still while a step is retried. So a step is taken to last
    until the next one began or the task ended.
    """
    marks = [
        (event.marker_recorded_event_attributes, _time(event.event_time), mark)
        for event in events
        for mark in _decoded(event.marker_recorded_event_attributes.details.get("data"))
    ]
    steps = []
    for marker, recorded, mark in marks:
        began = _began(mark)
        task = marker.workflow_task_completed_event_id
        later = [
            _began(other)
            for its_marker, _, other in marks
            if its_marker.workflow_task_completed_event_id == task
            and other["activation_index"] > mark["activation_index"]
            and _began(other) > began
        ]
        ended = min(later, default=max(recorded, began))
        what, tries = str(mark["activity_type"]), int(mark["attempt"])
        steps.append(_step(began, ended, what, tries=tries, note=marker.failure.message))
    return steps


def _step(
    began: datetime, ended: datetime, what: str, *, tries: int | None = None, note: str
) -> HistoryEntry:
    return HistoryEntry(began, what, round((ended - began).total_seconds(), 4), tries, note)


def _began(mark: dict[str, Any]) -> datetime:
    began = mark["original_schedule_time"]
    return datetime.fromtimestamp(began["seconds"] + began["nanos"] / 1e9, UTC)


def _decoded(payloads: Payloads | None) -> list[Any]:
    return [json.loads(payload.data) for payload in payloads.payloads] if payloads else []


def _time(at: Timestamp) -> datetime:
    return at.ToDatetime(tzinfo=UTC)
