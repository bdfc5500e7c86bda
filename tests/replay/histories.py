"""The recorded histories on disk, and their commands, whose order must not change."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

FOLDER = Path(__file__).with_name("histories")
RECORD = "python -m tests.replay.record"

_COMMANDS = {
    "ACTIVITY_TASK_SCHEDULED",
    "ACTIVITY_TASK_CANCEL_REQUESTED",
    "MARKER_RECORDED",
    "TIMER_STARTED",
    "TIMER_CANCELED",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
    "WORKFLOW_EXECUTION_CANCELED",
    "WORKFLOW_EXECUTION_COMPLETED",
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW",
    "WORKFLOW_EXECUTION_FAILED",
    "WORKFLOW_PROPERTIES_MODIFIED",
}
_LEFT_OUT = {"identity", "requestId", "stackTrace", "taskId", "workerVersion"}


def names() -> list[str]:
    """The names of all recorded histories."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> WorkflowHistory:
    recorded = json.loads((FOLDER / f"{name}.json").read_text())
    return WorkflowHistory.from_json(recorded["workflowId"], {"events": recorded["events"]})


def commands(name: str) -> list[str]:
    """The list of commands that is stored with a history, to be read in a diff."""
    recorded: list[str] = json.loads((FOLDER / f"{name}.json").read_text())["commands"]
    return recorded


def save(name: str, history: WorkflowHistory) -> None:
    FOLDER.mkdir(exist_ok=True)
    recorded = {
        "workflowId": history.workflow_id,
        "commands": commands_of(history),
        "events": _anonymous(history.to_json_dict()["events"]),
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(recorded, indent=1) + "\n")


def commands_of(history: WorkflowHistory) -> list[str]:
    """The commands of a workflow: `TIMER_STARTED`, `MARKER_RECORDED load_cart`, …"""
    return list(_commands(history.events))


def _commands(events: Any) -> Iterator[str]:
    for event in events:
        kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
        if kind in _COMMANDS:
            yield f"{kind} {_subject(event)}".strip()


def _subject(event: HistoryEvent) -> str:
    """The name of the activity, if the event is about one."""
    if event.HasField("activity_task_scheduled_event_attributes"):
        return event.activity_task_scheduled_event_attributes.activity_type.name
    if event.HasField("marker_recorded_event_attributes"):
        details = event.marker_recorded_event_attributes.details
        for payload in details["data"].payloads:
            return str(json.loads(payload.data).get("activity_type", ""))
    return ""


def _anonymous(value: Any) -> Any:
    """Removes the worker's identity and host, which a replay does not need."""
    if isinstance(value, dict):
        if value.get("kind") == "TASK_QUEUE_KIND_STICKY":
            value = value | {"name": "sticky"}  # named after a process and its host
        return {name: _anonymous(part) for name, part in value.items() if name not in _LEFT_OUT}
    if isinstance(value, list):
        return [_anonymous(part) for part in value]
    return value
