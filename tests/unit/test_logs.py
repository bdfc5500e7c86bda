"""Lines as programs and people read them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SAY = """
import logging, structlog, logs
logs.configure_logging("info", {format!r})
structlog.contextvars.bind_contextvars(requestId="abc")
try:
    raise ValueError("broken")
except ValueError:
    logging.getLogger("here").exception(
        "It is %s", "so",
        extra={{
            "event": "so_it_is",
            "userId": "u",
            "temporal_workflow": {{"workflow_id": "cart/s/u", "run_id": "r", "namespace": "n"}},
        }},
    )
logging.getLogger("here").debug("not told")
"""


def said(format: str | None, root: Path) -> str:  # noqa: A002
    """What a process whose output is no terminal says."""
    code = SAY.format(format=format)
    env = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("format_", [None, "json"])
def test_programs_get_one_object_a_line(format_: str | None, project_root: Path) -> None:
    [text] = said(format_, project_root).splitlines()
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


def test_people_get_words(project_root: Path) -> None:
    first, *more = said("console", project_root).splitlines()
    assert "error" in first
    assert "It is so" in first
    assert "requestId=abc" in first
    assert any(line.startswith("ValueError: broken") for line in more)
