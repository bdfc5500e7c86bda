"""A saga's steps, with their times, as its event history tells them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowHistory

_CLOSING = (
    "workflow_execution_completed_event_attributes",
    "workflow_execution_failed_event_attributes",
    "workflow_execution_canceled_event_attributes",
    "workflow_execution_terminated_event_attributes",
    "workflow_execution_continued_as_new_event_attributes",
)


@dataclass(frozen=True)
class Entry:
    """Something that happened: a step (with its tries and how long it took), or what was said."""

    at: datetime
    what: str
    seconds: float | None = None
    tries: int | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "at": self.at,
            "what": self.what,
            "seconds": self.seconds,
            "tries": self.tries,
            "note": self.note,
        }


def entries(history: WorkflowHistory) -> list[Entry]:
    """What happened, in its order."""
    scheduled: dict[int, HistoryEvent] = {}
    told = _local_steps(history.events)
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            scheduled[event.event_id] = event
        told += _entries(event, scheduled)
    return sorted(told, key=lambda entry: entry.at)


def pending_steps(activities: "list[PendingActivityInfo]") -> list[Entry]:
    """Steps that are being tried, which the history does not know yet."""
    return [
        Entry(
            at=_time(activity.scheduled_time),
            what=activity.activity_type.name,
            tries=activity.attempt,
            note=f"being tried: {activity.last_failure.message}"
            if activity.HasField("last_failure")
            else "being tried",
        )
        for activity in activities
    ]


def _entries(event: HistoryEvent, scheduled: dict[int, HistoryEvent]) -> Iterator[Entry]:
    at = _time(event.event_time)
    if event.HasField("workflow_execution_started_event_attributes"):
        yield Entry(at, "started")
    elif event.HasField("activity_task_completed_event_attributes"):
        done = event.activity_task_completed_event_attributes
        yield _step(scheduled[done.scheduled_event_id], at, "")
    elif event.HasField("activity_task_failed_event_attributes"):
        failed = event.activity_task_failed_event_attributes
        yield _step(scheduled[failed.scheduled_event_id], at, failed.failure.message)
    elif event.HasField("activity_task_timed_out_event_attributes"):
        late = event.activity_task_timed_out_event_attributes
        yield _step(scheduled[late.scheduled_event_id], at, "timed out")
    elif event.HasField("workflow_execution_signaled_event_attributes"):
        signal = event.workflow_execution_signaled_event_attributes
        said = ", ".join(str(word) for word in _decoded(signal.input) if word)
        yield Entry(at, f"signal {signal.signal_name}", note=said)
    elif event.HasField("workflow_execution_cancel_requested_event_attributes"):
        yield Entry(at, "cancellation asked for")
    elif event.HasField("workflow_task_timed_out_event_attributes"):
        yield Entry(at, "worker lost", note="its workflow task timed out and is tried again")
    elif event.HasField("workflow_task_failed_event_attributes"):
        failure = event.workflow_task_failed_event_attributes.failure.message
        yield Entry(at, "workflow task failed", note=failure)
    else:
        yield from (
            Entry(at, name.removeprefix("workflow_execution_").partition("_event")[0])
            for name in _CLOSING
            if event.HasField(name)  # type: ignore[arg-type]
        )


def _local_steps(events: Sequence[HistoryEvent]) -> list[Entry]:
    """Local activities leave a marker each, written when their workflow task ends.

    What it has of times is when the step began, and the workflow's own clock, which does not run
    while a step is tried again. So a step is taken to last until the next one began, or the task
    ended.
    """
    told = [
        (event, mark)
        for event in events
        if event.HasField("marker_recorded_event_attributes")
        for mark in _decoded(event.marker_recorded_event_attributes.details.get("data"))
    ]
    steps = []
    for event, mark in told:
        began = _marked(mark)
        later = [
            _marked(other)
            for its_event, other in told
            if _task(its_event) == _task(event)
            and other["activation_index"] > mark["activation_index"]
            and _marked(other) > began
        ]
        ended = min(later, default=max(_time(event.event_time), began))
        steps.append(
            Entry(
                at=began,
                what=str(mark["activity_type"]),
                seconds=round((ended - began).total_seconds(), 4),
                tries=int(mark["attempt"]),
                note=event.marker_recorded_event_attributes.failure.message,
            )
        )
    return steps


def _task(event: HistoryEvent) -> int:
    return event.marker_recorded_event_attributes.workflow_task_completed_event_id


def _marked(mark: dict[str, Any]) -> datetime:
    began = mark["original_schedule_time"]
    return datetime.fromtimestamp(began["seconds"] + began["nanos"] / 1e9, UTC)


def _step(scheduled: HistoryEvent, ended: datetime, note: str) -> Entry:
    began = _time(scheduled.event_time)
    return Entry(
        at=began,
        what=scheduled.activity_task_scheduled_event_attributes.activity_type.name,
        seconds=round((ended - began).total_seconds(), 4),
        note=note,
    )


def _decoded(payloads: Payloads | None) -> list[Any]:
    return [json.loads(payload.data) for payload in payloads.payloads] if payloads else []


def _time(at: Timestamp) -> datetime:
    return at.ToDatetime(tzinfo=UTC)
