"""The whole suite, in lanes side by side: `python -m tests.lanes` (`make test`).

Most tests wait for something, so two processors have time for three of them. Each lane is a pytest
of its own, with servers of its own. What no other lane has is the first one's; it is shown as it
runs and measures coverage. The others go to files, and are shown when they have ended; most of what
they run of the service the first one runs too (they do it with faults, with much traffic, or on
other servers), and measuring that would only make them slower. Exit code 1 when a lane has failed.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LOGS = Path(".local")
INTERRUPTED = 130
BESIDE = {
    "faults": ("tests/faults", "tests/workflows"),
    "events": (
        "tests/contract",
        "tests/deploy",
        "tests/kafka",
        "tests/integration/test_availability.py",
        "tests/integration/test_consumer.py",
        "tests/integration/test_dead_letters.py",
        "tests/integration/test_known_bad_events.py",
        "tests/integration/test_metrics.py",
        "tests/integration/test_model.py",
        "tests/integration/test_orders.py",
        "tests/integration/test_routes.py",
    ),
}
"""Which tests have a lane beside the first, so that all take about as long."""


def main() -> int:
    """Runs all lanes to their end."""
    LOGS.mkdir(exist_ok=True)
    began = time.monotonic()
    for name in BESIDE:
        print(f"beside these run the {name}: {_log(name)}", flush=True)
    elsewhere = [f"--ignore={path}" for paths in BESIDE.values() for path in paths]
    lanes = {"first": subprocess.Popen(_python("coverage", "run", "-m", "pytest", *elsewhere))}
    lanes |= {name: _beside(name, paths) for name, paths in BESIDE.items()}
    try:
        ended = {name: lane.wait() for name, lane in lanes.items()}
    except KeyboardInterrupt:  # which all lanes have heard too, and end their servers
        for lane in lanes.values():
            lane.wait()
        return INTERRUPTED
    for name, paths in BESIDE.items():
        print(f"\nlane {name}, {' '.join(paths)}:\n{_log(name).read_text()}", flush=True)
    print(f"{len(ended)} lanes in {time.monotonic() - began:.0f} s", flush=True)
    failed = [name for name, code in ended.items() if code]
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return int(bool(failed))


def _beside(name: str, paths: Sequence[str]) -> "subprocess.Popen[bytes]":
    with _log(name).open("wb") as log:
        return subprocess.Popen(
            _python("pytest", *paths), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def _log(name: str) -> Path:
    return LOGS / f"tests-{name}.log"


def _python(*module: str) -> list[str]:
    return [sys.executable, "-m", *module]


if __name__ == "__main__":
    sys.exit(main())
