"""Dockerfile and its build context; `make check-deploy` builds it."""

import re
import tomllib

from tests.deploy.tools import ROOT, run

BUILD_FILES = {
    "LICENSE",
    "README.md",
    "deploy",
    "pyproject.toml",
    "requirements-build.lock",
    "requirements.lock",
}
# In the image that `--target dev` builds, and never in the wheel.
DEVELOPMENT = {"dev", "inventory.py"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_no_problem() -> None:
    done = run("hadolint", "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_build_context_has_all_files_of_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:].split("/")[0] for line in lines if line.startswith("!")}
    assert wheel <= allowed
    assert allowed - wheel <= BUILD_FILES | DEVELOPMENT
    assert all((ROOT / name).exists() for name in allowed)


def test_the_wheel_has_every_module_of_the_service_and_nothing_for_developers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    modules = {file.name for file in ROOT.glob("*.py")}
    assert wheel == (packages | modules) - DEVELOPMENT - {"examples", "tests"}


def test_all_lock_files_have_the_same_versions() -> None:
    locks = {
        name: set(re.findall(r"^[\w.-]+==[^ \\]+", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-build.lock", "requirements.lock", "requirements-dev.lock")
    }
    assert locks["requirements-build.lock"] <= locks["requirements-dev.lock"]
    assert locks["requirements.lock"] <= locks["requirements-dev.lock"]


def test_the_health_check_reads_the_heartbeat_file() -> None:
    assert DOCKERFILE.count("/tmp/heartbeat") == 2
