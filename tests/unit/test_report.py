"""dev.report: the page has each run's result, and a run that fails fails the report."""

import sys
from pathlib import Path

import pytest

from dev import report
from dev.report import Run


def run_of(code: str, page: Path | None = None) -> Run:
    return Run("one", "One run, of two", (sys.executable, "-c", code), page)


def test_a_run_that_passes_is_shown_with_its_output(tmp_path: Path) -> None:
    result = report.carry_out(run_of("print('3 of 3 held')"), tmp_path)
    page = report.page([result], about=["2 cores"])
    assert result.code == 0
    assert "| [One run, of two](#one-run-of-two) | passed | 0.0 min |" in page
    assert "```text\n3 of 3 held\n```" in page
    assert "- 2 cores" in page
    assert (tmp_path / "one.log").read_text() == "3 of 3 held\n"


def test_a_run_that_fails_says_so(tmp_path: Path) -> None:
    result = report.carry_out(run_of("import sys; sys.exit('1 violation')"), tmp_path)
    page = report.page([result], about=[])
    assert page.count("**failed** (exit code 1)") == 2
    assert "1 violation" in page


def test_the_page_of_a_run_takes_the_place_of_its_output(tmp_path: Path) -> None:
    own = tmp_path / "own.md"
    own.write_text("# Faults\n\n## By moment\n")
    result = report.carry_out(run_of("print('progress')", own), tmp_path)
    page = report.page([result], about=[])
    assert "\n### By moment" in page
    assert "# Faults" not in page, "the section has a heading already"
    assert "```" not in page, "the output"


def test_the_whole_fails_when_one_run_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = (
        Run("good", "Good", (sys.executable, "-c", "pass")),
        Run("bad", "Bad", (sys.executable, "-c", "raise SystemExit(3)")),
        Run("other", "Other", (sys.executable, "-c", "pass")),
    )
    monkeypatch.setattr(report, "runs", lambda *_, **__: planned)
    folder = str(tmp_path)
    assert report.main(["--folder", folder, "--only", "good", "--only", "bad"]) == 1
    assert report.main(["--folder", folder, "--only", "good"]) == 0
    assert "Other" not in capsys.readouterr().out


def test_a_trial_is_smaller(tmp_path: Path) -> None:
    words = [" ".join(run.command) for run in report.runs(tmp_path, scale=0.01, seed=7)]
    assert "tests.faults.chaos --sagas 100 --faults 5 --seed 7" in words[0]
    assert "--faults 1 --seed 7" in words[2]
    assert "--cases 500 --seed 7" in words[3]
