"""Runs the tests of a make target in lanes side by side: `python -m tests.lanes test|test-faults`.

Each lane is a pytest process with servers of its own; most tests wait, so two cores have time for
three lanes. While the lanes run, their progress is printed every `PROGRESS_SECONDS`, and a failed
test at once. Each lane's output is kept in `.local/tests-LANE.log`, and shown in the end if a test
of the lane failed. The last line is "N passed, N failed".
Exit code 1 when a test failed or, for `test`, when the coverage is below `COVERAGE_PERCENT`.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import lane_progress

ROOT = Path(__file__).parent.parent
LOGS = Path(".local")
PROGRESS_SECONDS = 20.0
POLL_SECONDS = 0.5
COVERAGE_PERCENT = 80
INTERRUPTED = 130
_NO_TESTS_COLLECTED = 5


@dataclass(frozen=True)
class Lane:
    """Test files and folders that one pytest process runs.

    `with_coverage` measures the coverage of the lane's own process and of the service's processes.
    """

    name: str
    paths: tuple[str, ...]
    with_coverage: bool = False


_EVENTS = Lane(
    "events",
    (
        "tests/contract",
        "tests/integration/inventory",
        "tests/integration/test_availability.py",
        "tests/integration/test_busy_carts.py",
        "tests/integration/test_consumer.py",
        "tests/integration/test_dead_letters.py",
        "tests/integration/test_known_event_bugs.py",
        "tests/integration/test_metrics.py",
        "tests/integration/test_model.py",
        "tests/integration/test_orders.py",
        "tests/integration/test_outages.py",
        "tests/integration/test_routes.py",
        "tests/integration/test_stack.py",
        "tests/integration/test_privacy.py",
        "tests/integration/test_redis_servers.py",
        "tests/integration/test_temporal_connections.py",
        "tests/integration/test_undecodable_messages.py",
    ),
)
_SAGAS = Lane(
    "sagas", ("tests/browser", "tests/http", "tests/workflows", "tests/replay", "tests/telemetry")
)
_FAULTS = (
    Lane("faults", ("tests/faults",)),
    Lane(
        "kafka",
        (
            "tests/kafka",
            "tests/clients/test_typescript.py",
            "tests/contract/test_fuzz.py",
            "tests/integration/test_ops_without_a_server.py",
        ),
    ),
    Lane("deployment", ("tests/deploy", "tests/contract/test_code_blocks.py")),
)
_REST = Lane("service", ("tests",), with_coverage=True)
"""All tests that no other lane has, so that a new test file has a lane at once."""

_CLIENTS = Lane("clients", ("tests/clients",))
"""`make check-clients` runs these, with those that another lane has."""

TARGETS: dict[str, tuple[Lane, ...]] = {
    "test": (_REST, _SAGAS, _EVENTS),
    "test-faults": _FAULTS,
    "check-clients": (_CLIENTS,),
}
LANES = tuple(lane for lanes in TARGETS.values() for lane in lanes)


@dataclass
class Run:
    """A lane under way; `shown` is how many of its failures have been printed."""

    lane: Lane
    process: "subprocess.Popen[bytes]"
    began: float = field(default_factory=time.monotonic)
    shown: int = 0
    took: float | None = None

    @property
    def log(self) -> Path:
        return _log(self.lane)

    def progress(self) -> lane_progress.Progress:
        return lane_progress.read(_progress_file(self.lane))

    def poll(self) -> int | None:
        code = self.process.poll()
        if code is not None and self.took is None:
            self.took = time.monotonic() - self.began
        return code


def pytest_arguments(lane: Lane) -> list[str]:
    """The paths of a lane, without the paths inside them that another lane has."""
    others = {path for other in LANES if other is not lane for path in other.paths}
    ignored = [
        path
        for path in sorted(others)
        if any(path.startswith(f"{own}/") for own in lane.paths) and path not in lane.paths
    ]
    return [*lane.paths, *(f"--ignore={path}" for path in ignored)]


def main(argv: Sequence[str]) -> int:
    """Runs all lanes of a target to their end."""
    [target] = argv
    LOGS.mkdir(exist_ok=True)
    began = time.monotonic()
    for lane in TARGETS[target]:
        print(f"lane {lane.name}: {_log(lane)}", flush=True)
    runs = [_start(lane) for lane in TARGETS[target]]
    try:
        _follow(runs, began)
    except KeyboardInterrupt:
        _stop(runs)
        return INTERRUPTED
    failed = [run for run in runs if run.process.returncode]
    for run in runs:
        print(f"\nlane {run.lane.name}, {run.took or 0:.0f} s:", flush=True)
        text = run.log.read_text(errors="replace")
        print(text if run in failed else _summary(text), flush=True)
    covered = _coverage() if target == "test" else True
    if failed:
        print(f"failed lanes: {', '.join(run.lane.name for run in failed)}", flush=True)
    counts = _counts(runs)
    took = time.monotonic() - began
    print(f"{len(runs)} lanes in {took:.0f} s, {counts['skipped']} tests skipped", flush=True)
    print(f"{counts['passed']} passed, {counts['failed']} failed", flush=True)
    return int(bool(failed) or not covered)


def _start(lane: Lane) -> Run:
    _progress_file(lane).unlink(missing_ok=True)
    command = [sys.executable, "-m"]
    command += ["coverage", "run", "-m"] if lane.with_coverage else []
    command += ["pytest", "-ra", "-p", lane_progress.__name__, *pytest_arguments(lane)]
    env = os.environ | {lane_progress.VARIABLE: str(_progress_file(lane).absolute())}
    with _log(lane).open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
        )
    return Run(lane, process)


def _follow(runs: Sequence[Run], began: float) -> None:
    """Prints progress and failures until all lanes have ended."""
    printed = began
    while True:
        ended = [run.poll() is not None for run in runs]
        for run in runs:
            failures = run.progress().failed
            for test in failures[run.shown :]:
                print(f"FAILED in lane {run.lane.name}: {test}", flush=True)
            run.shown = len(failures)
        if all(ended):
            return
        if time.monotonic() - printed >= PROGRESS_SECONDS:
            printed = time.monotonic()
            lanes = "   ".join(_described(run) for run in runs)
            print(f"{printed - began:4.0f} s   {lanes}", flush=True)
        time.sleep(POLL_SECONDS)


def _described(run: Run) -> str:
    progress = run.progress()
    state = f"{progress.percent:.0f} %" if run.took is None else f"done in {run.took:.0f} s"
    failed = f" ({len(progress.failed)} failed)" if progress.failed else ""
    return f"{run.lane.name} {state}{failed}"


def _stop(runs: Sequence[Run]) -> None:
    """Lets each pytest end its servers. After Ctrl-C they have the signal already."""
    for run in runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
    for run in runs:
        run.process.wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _summary(text: str) -> str:
    """Of a lane that passed: the skipped tests with their reasons, and pytest's closing line."""
    lines = text.splitlines()
    skipped = [line for line in lines if line.startswith("SKIPPED")]
    return "\n".join([*skipped, *lines[-1:]])


def _coverage() -> bool:
    """Prints the coverage; whether there is enough of it."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", "--quiet"], check=False)
    report = [*coverage, "report", f"--fail-under={COVERAGE_PERCENT}"]
    return subprocess.run(report, check=False).returncode == 0


def _counts(runs: Iterable[Run]) -> Counter[str]:
    """Of the tests of all lanes; a lane that died without a failed test counts as one failure."""
    counts: Counter[str] = Counter()
    for run in runs:
        progress = run.progress()
        counts += Counter(
            passed=progress.passed, failed=len(progress.failed), skipped=progress.skipped
        )
        if run.process.returncode and not progress.failed:
            counts["failed"] += 1
    return counts


def _log(lane: Lane) -> Path:
    return LOGS / f"tests-{lane.name}.log"


def _progress_file(lane: Lane) -> Path:
    return LOGS / f"tests-{lane.name}.progress"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main(sys.argv[1:]))
