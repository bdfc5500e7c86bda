"""TypeScript clients: hey-api, openapi-typescript with openapi-fetch, OpenAPI Generator.

Each is compiled with `strict` and `noUncheckedIndexedAccess`.
"""

from pathlib import Path

import pytest

from tests.clients.conftest import Buy
from tests.clients.tools import node_project, openapi_generator, run, tool, written


def built(project: Path, program: str) -> Path:
    """The compiled program, beside the client that it uses."""
    config = {"extends": "./tsconfig.json", "files": [program], "include": []}
    written(project / "tsconfig.program.json", config)
    run("node_modules/.bin/tsc", "-p", "tsconfig.program.json", cwd=project)
    return project


async def bought(buy: Buy, project: Path, program: str) -> None:
    """Runs the program. Node needs the extensions of files, which the clients leave out."""
    built(project, program)
    loader = ("--import", "./extensions.mjs")
    await buy("node", *loader, Path("built") / program.replace(".ts", ".js"), cwd=project)


async def test_hey_api(openapi: Path, tmp_path: Path, buy: Buy) -> None:
    project = node_project("typescript", tmp_path / "project")
    run("node_modules/.bin/openapi-ts", "-i", openapi, "-o", "generated/hey-api", cwd=project)
    await bought(buy, project, "hey-api.ts")


async def test_openapi_typescript_and_openapi_fetch(
    openapi: Path, tmp_path: Path, buy: Buy
) -> None:
    project = node_project("typescript", tmp_path / "project")
    types = ("-o", "generated/openapi-typescript.ts")
    run("node_modules/.bin/openapi-typescript", openapi, *types, cwd=project)
    await bought(buy, project, "openapi-fetch.ts")


async def test_openapi_generator(openapi: Path, tmp_path: Path, buy: Buy) -> None:
    tool("java")
    project = node_project("typescript", tmp_path / "project")
    openapi_generator(openapi, "typescript-fetch", project / "generated" / "openapi-generator")
    await bought(buy, project, "openapi-generator.ts")


@pytest.fixture(autouse=True)
def _needs_node() -> None:
    tool("node", "npm")
