"""Validators, linters and gateways accept the OpenAPI document and its own examples."""

from pathlib import Path

import pytest

from dev.stack.ports import more_free_ports
from tests.clients.tools import HERE, node_project, python, run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return node_project("validators", tmp_path / "project")


def test_ajv_accepts_all_examples_and_prices(openapi: Path, project: Path) -> None:
    assert "examples" in run("node", "ajv.mjs", openapi, cwd=project)


def test_express_openapi_validator_lets_valid_requests_pass(openapi: Path, project: Path) -> None:
    assert run("node", "express.mjs", openapi, cwd=project).endswith("ok\n")


def test_prism_answers_every_operation(openapi: Path, project: Path) -> None:
    [port] = more_free_ports(1)
    assert "operations" in run("node", "prism.mjs", openapi, str(port), cwd=project)


def test_spectral_finds_nothing(openapi: Path, project: Path) -> None:
    ruleset = ("--ruleset", ".spectral.yaml", "--fail-severity", "hint")
    run("node_modules/.bin/spectral", "lint", openapi, *ruleset, cwd=project)


def test_redocly_finds_nothing(openapi: Path, project: Path) -> None:
    output = run("node_modules/.bin/redocly", "lint", openapi, cwd=project)
    assert "warning" not in output.partition("validating")[2], output


def test_openapi_core_accepts_all_prices() -> None:
    document = HERE.parents[1] / "docs" / "openapi.json"
    run(python(), HERE / "python" / "openapi_core_check.py", document)
