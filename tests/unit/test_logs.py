"""Lines as programs and people read them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SETUP = """
import logging, structlog, logs
early = structlog.stdlib.get_logger("here")
early.info("too_early", message="Before the output is configured, only warnings are shown")
logs.configure_logging("info", {format!r})
structlog.contextvars.bind_contextvars(requestId="abc")
workflow = {{"workflow_id": "cart/s/u", "run_id": "r", "namespace": "n"}}
"""
STANDARD = """
try:
    raise ValueError("broken")
except ValueError:
    logging.getLogger("here").exception(
        "It is %s", "so",
        extra={"event": "so_it_is", "userId": "u", "temporal_workflow": workflow},
    )
logging.getLogger("here").debug("not shown")
"""
STRUCTLOG = """
try:
    raise ValueError("broken")
except ValueError:
    early.exception(
        "so_it_is", message="It is so", userId="u", temporal_workflow=workflow
    )
early.debug("not_shown", message="not shown")
"""


def said(format: str | None, root: Path, lines: str = STANDARD) -> str:  # noqa: A002
    """What a process whose output is no terminal says."""
    code = SETUP.format(format=format) + lines
    env = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("lines", [STANDARD, STRUCTLOG])
@pytest.mark.parametrize("format_", [None, "json"])
def test_programs_get_one_object_a_line(
    format_: str | None, lines: str, project_root: Path
) -> None:
    [text] = said(format_, project_root, lines).splitlines()
    line: dict[str, Any] = json.loads(text)
    assert line.pop("exception").endswith("ValueError: broken")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "error",
        "message": "It is so",
        "event": "so_it_is",
        "logger": "here",
        "requestId": "abc",
        "userId": "u",
        "workflowId": "cart/s/u",
        "runId": "r",
    }


@pytest.mark.parametrize("lines", [STANDARD, STRUCTLOG])
def test_people_get_words(lines: str, project_root: Path) -> None:
    first, *more = said("console", project_root, lines).splitlines()
    assert "error" in first
    assert "It is so" in first
    assert "requestId=abc" in first
    assert any(line.startswith("ValueError: broken") for line in more)


def test_an_event_without_a_message_is_its_own_message(project_root: Path) -> None:
    line = json.loads(said("json", project_root, 'early.warning("so_it_is", userId="u")'))
    assert (line["event"], line["message"], line["level"]) == ("so_it_is", "so_it_is", "warn")


def test_the_level_can_change_while_the_process_runs(project_root: Path) -> None:
    lines = """
early.debug("first")
logs.set_level("debug")
early.debug("second")
logs.set_level("error")
early.warning("third")
"""
    assert [
        json.loads(line)["event"] for line in said("json", project_root, lines).splitlines()
    ] == ["second"]


def test_adapters_print_no_events_in_a_process_without_log_output(project_root: Path) -> None:
    code = """
from adapters import outage_log
outage_log.logger.warning("dependency_unavailable", message="Dependency is unavailable")
"""
    env = {**os.environ, "PYTHONPATH": str(project_root)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
