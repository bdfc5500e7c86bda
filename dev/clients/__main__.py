"""`make clients`: generates models, and builds the packages into build/clients.

`python -m dev.clients [python] [typescript]`

The generators are pinned in clients/python/generator.txt and clients/typescript/package.json, and
are kept in the cache of this project. Node is needed for TypeScript.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from api.version import VERSION
from dev.stack.apps import ROOT
from dev.stack.production.builds import kept

CLIENTS = ROOT / "clients"
DOCUMENT = ROOT / "docs" / "openapi.json"
OUT = ROOT / "build" / "clients"
SECONDS = 600
_MODELS = (
    *("--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel"),
    *("--target-python-version", "3.11", "--use-annotated", "--use-standard-collections"),
    *("--use-union-operator", "--snake-case-field", "--allow-population-by-field-name"),
    *(
        "--capitalise-enum-members",
        "--set-default-enum-member",
        "--disable-timestamp",
        "--formatters",
        "builtin",
    ),
)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Runs a tool; its output is shown. Exits if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, timeout=SECONDS, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def copied(name: str, to: Path) -> Path:
    """A copy of a client's folder, to generate and build in."""
    shutil.rmtree(to, ignore_errors=True)
    unwanted = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
    shutil.copytree(CLIENTS / name, to, ignore=unwanted)
    return to


def generate_python(work: Path) -> None:
    """The models and the version, in a copy of clients/python."""
    pins = CLIENTS / "python" / "generator.txt"

    def install(made: Path) -> None:
        run(sys.executable, "-m", "venv", made)
        run(made / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", pins)

    python = kept("python-client", [pins], install) / "bin" / "python"
    package = work / "cart_client"
    files = ("--input", DOCUMENT, "--output", package / "models.py")
    run(python, "-m", "datamodel_code_generator", *files, *_MODELS)
    (package / "version.py").write_text(f'__version__ = "{VERSION}"\n')


def build_python() -> None:
    """A wheel."""
    work = copied("python", OUT / "work-python")
    generate_python(work)
    flags = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", OUT)
    run(sys.executable, "-m", "pip", "wheel", *flags, work)


def generate_typescript(work: Path) -> None:
    """The types and the version, in a copy of clients/typescript, with its tools."""
    pins = CLIENTS / "typescript" / "package.json"

    def install(made: Path) -> None:
        made.mkdir()
        shutil.copy(pins, made)
        flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
        run("npm", "install", *flags, cwd=made)

    modules = kept("typescript-client", [pins], install) / "node_modules"
    (work / "node_modules").symlink_to(modules)
    run("node_modules/.bin/openapi-typescript", DOCUMENT, "-o", "src/api.ts", cwd=work)
    package = json.loads((work / "package.json").read_text())
    package["version"] = VERSION
    (work / "package.json").write_text(json.dumps(package, indent=2) + "\n")


def build_typescript() -> None:
    """A package for npm."""
    work = copied("typescript", OUT / "work-typescript")
    generate_typescript(work)
    run("node_modules/.bin/tsc", "-p", "tsconfig.json", cwd=work)
    run("npm", "pack", "--silent", "--pack-destination", OUT, cwd=work)


BUILDS: dict[str, Callable[[], None]] = {"python": build_python, "typescript": build_typescript}


def main(names: list[str]) -> None:
    """Builds the named clients, or all."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name in names or BUILDS:
        BUILDS[name]()
    for path in sorted([*OUT.glob("*.whl"), *OUT.glob("*.tgz")]):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
