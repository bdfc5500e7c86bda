"""A pytest plugin that writes a run's progress to a file, and the reader of that file.

`tests.lanes` loads it with `-p`. Without the environment variable `VARIABLE` it does nothing.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

VARIABLE = "CART_TEST_PROGRESS"


@dataclass
class Progress:
    """Counts of tests; `failed` are the ids of the tests that failed, or whose fixtures did."""

    total: int = 0
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    finished: int = 0

    @property
    def percent(self) -> float:
        return 100 * self.finished / self.total if self.total else 0.0


def read(file: Path) -> Progress:
    """The progress of a run; a run that has not written yet has none."""
    try:
        return Progress(**json.loads(file.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return Progress()


_progress = Progress()


def pytest_collection_finish(session: pytest.Session) -> None:
    _progress.total = len(session.items)
    _write()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and report.nodeid not in _progress.failed:
        _progress.failed.append(report.nodeid)
    elif report.skipped:
        _progress.skipped += 1
    elif report.when == "call" and report.passed:
        _progress.passed += 1


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _progress.failed.append(report.nodeid)


def pytest_runtest_logfinish() -> None:
    _progress.finished += 1
    _write()


def pytest_sessionfinish() -> None:
    _write()


def _write() -> None:
    if name := os.environ.get(VARIABLE):
        file = Path(name)
        unfinished = file.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(_progress)))
        unfinished.replace(file)
