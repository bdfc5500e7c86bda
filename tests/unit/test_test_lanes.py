"""Each test file runs in one lane of one make target, and a lane that failed is reported."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import lanes
from tests.support.lane_progress import VARIABLE, Progress, read

PASSING = "def test_passes():\n    assert True\n"
MIXED = """
import pytest

def test_passes():
    assert True

def test_fails():
    assert False

@pytest.mark.skip(reason="an example")
def test_is_skipped():
    assert False
"""


@pytest.fixture(autouse=True)
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of pytest below need none, and loading them takes ten times as long as a run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def runs_in(lane: lanes.Lane, file: str) -> bool:
    """Whether pytest collects a file with the arguments of a lane."""
    arguments = lanes.pytest_arguments(lane)
    ignored = [argument.removeprefix("--ignore=") for argument in arguments if "=" in argument]
    return any(_holds(path, file) for path in lane.paths) and not any(
        _holds(path, file) for path in ignored
    )


def _holds(path: str, file: str) -> bool:
    return file == path or file.startswith(f"{path}/")


def test_each_test_file_runs_in_exactly_one_lane() -> None:
    root = Path(__file__).parent.parent.parent
    files = [str(file.relative_to(root)) for file in root.glob("tests/**/test_*.py")]
    assert len(files) > 50
    lanes_of = {file: [lane.name for lane in lanes.LANES if runs_in(lane, file)] for file in files}
    assert {file: names for file, names in lanes_of.items() if len(names) != 1} == {}


def test_each_path_of_a_lane_exists() -> None:
    root = Path(__file__).parent.parent.parent
    missing = [path for lane in lanes.LANES for path in lane.paths if not (root / path).exists()]
    assert missing == []


def test_the_fault_target_has_the_long_tests() -> None:
    for file in (
        "tests/faults/test_matrix.py",
        "tests/faults/test_storm.py",
        "tests/faults/test_load.py",
        "tests/contract/test_fuzz.py",
        "tests/kafka/test_publisher.py",
        "tests/deploy/test_alerts.py",
    ):
        assert [runs_in(lane, file) for lane in lanes.TARGETS["test-faults"]].count(True) == 1, file


def progress_of(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Progress:
    """Runs pytest on a file with this text, as a lane does."""
    (folder / "test_example.py").write_text(text)
    monkeypatch.setenv(VARIABLE, str(folder / "progress"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.lane_progress",
        "-c",
        "/dev/null",
    ]
    subprocess.run([*command, str(folder)], check=False, stdout=subprocess.DEVNULL)
    return read(folder / "progress")


def test_the_progress_of_a_lane_counts_its_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = progress_of(tmp_path, MIXED, monkeypatch)
    assert (progress.total, progress.passed, progress.skipped) == (3, 1, 1)
    assert [test.rpartition("::")[2] for test in progress.failed] == ["test_fails"]
    assert progress.percent == 100


def test_a_file_that_cannot_be_imported_counts_as_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = progress_of(tmp_path, "import no_such_module\n", monkeypatch)
    assert len(progress.failed) == 1


@dataclass(frozen=True)
class OneLane:
    """A target whose only lane runs the tests in `folder`."""

    folder: Path
    capfd: pytest.CaptureFixture[str]

    def run(self, text: str) -> tuple[int, list[str]]:
        """The exit code and the lines of the output."""
        (self.folder / "test_example.py").write_text(text)
        code = lanes.main(["test-faults"])
        return code, self.capfd.readouterr().out.splitlines()


@pytest.fixture
def one_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> OneLane:
    lane = lanes.Lane("example", (str(tmp_path),))
    monkeypatch.setattr(lanes, "LANES", (lane,))
    monkeypatch.setattr(lanes, "LOGS", tmp_path / "logs")
    monkeypatch.setitem(lanes.TARGETS, "test-faults", (lane,))
    return OneLane(tmp_path, capfd)


def test_a_target_whose_tests_pass_ends_with_their_count(one_lane: OneLane) -> None:
    code, output = one_lane.run(PASSING)
    assert (code, output[-1]) == (0, "1 passed, 0 failed")


def test_a_failed_test_is_named_and_fails_the_target(one_lane: OneLane) -> None:
    code, output = one_lane.run(MIXED)
    assert (code, output[-1]) == (1, "1 passed, 1 failed")
    [failed] = [line for line in output if line.startswith("FAILED in lane example")]
    assert failed.endswith("test_fails")


def test_a_lane_that_dies_fails_the_target(one_lane: OneLane) -> None:
    code, output = one_lane.run("import os\n\ndef test_dies():\n    os._exit(3)\n")
    assert (code, output[-1]) == (1, "0 passed, 1 failed")


def test_the_reason_of_a_skipped_test_is_shown(one_lane: OneLane) -> None:
    text = (
        PASSING
        + '\nimport pytest\n\n@pytest.mark.skip(reason="needs Java")\ndef test_skips(): ...\n'
    )
    code, output = one_lane.run(text)
    assert (code, output[-1]) == (0, "1 passed, 0 failed")
    assert any("needs Java" in line for line in output)
