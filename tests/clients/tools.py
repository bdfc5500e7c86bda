"""Gets the generators and validators, once for each set of pinned versions, and runs them."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from dev.stack.production.builds import kept

HERE = Path(__file__).parent
TOOL_SECONDS = 500


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> str:
    """Runs a tool that must succeed; returns its output."""
    try:
        return _output(*command, cwd=cwd, **env)
    except _ToolFailed as error:
        pytest.fail(str(error), pytrace=False)


def _get(*command: str | Path, cwd: Path | None = None) -> None:
    """Downloads or builds; skips the test where that is not possible."""
    try:
        _output(*command, cwd=cwd)
    except _ToolFailed as error:
        pytest.skip(str(error))


class _ToolFailed(Exception):
    """With the end of the tool's output."""


def _output(*command: str | Path, cwd: Path | None = None, **env: str) -> str:
    shown = " ".join(map(str, command))
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=os.environ | env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TOOL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _ToolFailed(f"{shown} has not finished within {error.timeout:g} s") from None
    if done.returncode:
        raise _ToolFailed(f"{shown}\n{done.stdout[-6000:]}")
    return done.stdout


def tool(*names: str) -> list[str]:
    """The paths of programs; skips the test if one is missing."""
    for name in names:
        if shutil.which(name) is None:
            pytest.skip(f"no {name} on PATH")
    return [str(shutil.which(name)) for name in names]


def node_modules(folder: str) -> Path:
    """The folder with the packages of a `package.json`."""
    _, npm = tool("node", "npm")
    pins = HERE / folder / "package.json"

    def install(made: Path) -> None:
        made.mkdir()
        shutil.copy(pins, made)
        flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
        _get(npm, "install", *flags, cwd=made)

    return kept(f"npm-{folder}", [pins], install) / "node_modules"


def node_project(folder: str, work: Path) -> Path:
    """A copy of a folder with its packages, to generate and run in."""
    modules = node_modules(folder)
    shutil.copytree(HERE / folder, work, dirs_exist_ok=True)
    (work / "node_modules").symlink_to(modules)
    return work


def python() -> Path:
    """The Python of an environment with the generators."""
    pins = HERE / "python" / "requirements.txt"
    [python3] = tool("python3")

    def install(made: Path) -> None:
        _get(python3, "-m", "venv", made)
        _get(made / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", pins)

    return kept("python-clients", [pins], install) / "bin" / "python"


def jars() -> Path:
    """The folder with OpenAPI Generator (`generator`) and its client's libraries (`client`)."""
    _, _, mvn = tool("java", "javac", "mvn")
    pins = HERE / "java" / "pom.xml"

    def download(made: Path) -> None:
        common = (mvn, "-q", "-B", "-f", pins, "dependency:copy-dependencies")
        _get(*common, "-DincludeScope=runtime", f"-DoutputDirectory={made / 'client'}")
        alone = ("-DincludeScope=provided", "-DexcludeTransitive=true")
        _get(*common, *alone, f"-DoutputDirectory={made / 'generator'}")

    return kept("openapi-generator", [pins], download)


def openapi_generator(document: Path, language: str, out: Path, *options: str) -> None:
    """Generates a client with OpenAPI Generator."""
    [jar] = (jars() / "generator").glob("openapi-generator-cli-*.jar")
    run("java", "-jar", jar, "generate", "-i", document, "-g", language, "-o", out, *options)


def oapi_codegen() -> Path:
    """oapi-codegen, built with Go."""
    [go] = tool("go")
    pins = [HERE / "go" / "go.mod", HERE / "go" / "go.sum"]

    def build(made: Path) -> None:
        made.mkdir()
        _get(go, "build", "-o", f"{made}/oapi-codegen", "tool", cwd=HERE / "go")

    return kept("oapi-codegen", pins, build) / "oapi-codegen"


def written(path: Path, value: object) -> Path:
    """The path of a document, written as JSON."""
    path.write_text(json.dumps(value))
    return path


def class_path(*parts: str | Path) -> Sequence[str]:
    """The option of `java` and `javac`."""
    return ("-cp", os.pathsep.join(map(str, parts)))
