""".github/workflows: what zizmor and actionlint say, and what they cannot know."""

import re
from typing import Any

import pytest
import yaml

from tests.deploy.tools import ROOT, needs, run

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
each = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


def jobs(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return found


def test_zizmor_finds_no_problem() -> None:
    done = run("zizmor", "--offline", "--no-progress", ".github/workflows")
    assert done.returncode == 0, done.stdout + done.stderr


@needs("actionlint")
def test_actionlint_finds_no_problem() -> None:
    done = run("actionlint", *map(str, WORKFLOWS))
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_actions_are_pinned_to_a_commit_and_say_its_version(workflow: Any) -> None:
    for line in workflow.read_text().splitlines():
        if "uses:" in line:
            assert re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@each
def test_make_targets_exist(workflow: Any) -> None:
    named = re.findall(r"run: make ([\w-]+)", workflow.read_text())
    assert set(named) <= TARGETS


@each
def test_each_job_has_a_time_limit_and_only_named_permissions(workflow: Any) -> None:
    text = workflow.read_text()
    assert yaml.safe_load(text)["permissions"] == {}
    for name, job in jobs(text).items():
        assert job["timeout-minutes"] <= 90, name
        assert job["permissions"], name


def test_only_the_release_of_a_tag_pushes_anything() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert jobs(text)["publish"]["if"] == "needs.build.outputs.publish == 'true'"
    [condition] = re.findall(r"PUBLISH: \$\{\{ (.+) \}\}", text)
    assert "github.ref_type == 'tag'" in condition
    pushing = [
        step
        for step in jobs(text)["image"]["steps"]
        if "--push" in step.get("run", "") or "docker login" in step.get("run", "")
    ]
    assert [step["if"] for step in pushing] == ["needs.build.outputs.publish == 'true'"]
