"""What `make test` runs side by side, for most tests wait for something.

A lane is a process with a stack of its own, whose tests run one after the other. Lanes take about
as long as each other. What needs no stack goes to whichever lane has an end first, file by file.
"""

import os
from collections.abc import Iterator

import pytest
from coverage import Coverage
from xdist.scheduler import LoadScopeScheduling

LANES = {
    "faults": ("tests/faults", "tests/telemetry"),
    "events": (
        "tests/kafka",
        "tests/integration/test_consumer.py",
        "tests/integration/test_dead_letters.py",
        "tests/integration/test_known_bad_events.py",
        "tests/integration/test_orders.py",
        "tests/deploy/test_prometheus.py",
    ),
    "service": ("tests/integration", "tests/contract/test_fuzz.py", "tests/contract/test_guide.py"),
    "sagas": ("tests/workflows", "tests/integration/inventory"),
}
UNTRACED = ("faults", "events", "service")
"""Lanes in which coverage does not look: the others go the same ways. Tracing makes a test, and
each process that it starts, a third slower."""
_FOR_PROCESSES = "COVERAGE_PROCESS_CONFIG"
_kept: dict[str, str] = {}


class Lanes(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process a lane, and then files."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)


def lanes_first(items: list[pytest.Item]) -> None:
    """For they take longest."""
    lanes = [*LANES]
    items.sort(key=lambda item: [*lanes, lane_of(item.nodeid)].index(lane_of(item.nodeid)))


def lane_of(nodeid: str) -> str:
    """The lane whose longest path begins the test's; without one, its own file."""
    file = nodeid.partition("::")[0]
    found = max(_paths(), key=lambda one: len(one[0]) if file.startswith(one[0]) else 0)
    return found[1] if file.startswith(found[0]) else file


def _paths() -> Iterator[tuple[str, str]]:
    for lane, paths in LANES.items():
        for path in paths:
            yield path, lane


def trace(item: pytest.Item) -> None:
    """Lets coverage measure this test, and the processes that it starts, or neither."""
    coverage = Coverage.current()
    wanted = lane_of(item.nodeid) not in UNTRACED
    if coverage is None or wanted is (_FOR_PROCESSES in os.environ):
        return
    if wanted:
        os.environ.update(_kept)
        coverage.start()
    else:
        _kept[_FOR_PROCESSES] = os.environ.pop(_FOR_PROCESSES)
        coverage.stop()
