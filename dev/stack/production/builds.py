"""The programs of the production servers: built or downloaded once, then cached per user.

`python -m dev.stack.production.builds` gets all of them. The versions are in `go.mod` and
`pom.xml`. `servers` starts the programs.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dev.stack.process import StackError

_HERE = Path(__file__).parent
_POM, _GO_MOD, _GO_SUM = _HERE / "pom.xml", _HERE / "go.mod", _HERE / "go.sum"
_MAIN_JAR = "kafka_2.13-*.jar"
_DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
OLDEST_JAVA = 17
RESOLVE_SECONDS = 300
BUILD_SECONDS = 3600

Say = Callable[[str], None]


def java() -> str:
    """The path of a supported Java; raises `StackError`."""
    path = shutil.which("java")
    if path is None:
        raise StackError(f"no java: Apache Kafka needs Java {OLDEST_JAVA} or newer")
    answer = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < OLDEST_JAVA:
        found = answer.stderr.partition("\n")[0] or "it does not start"
        raise StackError(f"Apache Kafka needs Java {OLDEST_JAVA} or newer, not: {found}")
    return path


def kafka_jars(say: Say = lambda _: None) -> Path:
    """The folder with Apache Kafka's jars; Maven downloads them the first time."""
    version = _pinned(_POM, r"<artifactId>kafka_2.13</artifactId>\s*<version>(.+?)<")

    def resolve(folder: Path) -> None:
        say(f"fetching Apache Kafka {version} by Maven (44 MB, once)")
        command = [_tool("mvn", "Maven", "Apache Kafka"), "-q", "-B", "-f", str(_POM)]
        command += ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        _run([*command, "-DincludeScope=runtime"], RESOLVE_SECONDS)
        if not any(folder.glob(_MAIN_JAR)):
            raise StackError("mvn succeeded but downloaded no Apache Kafka")

    return kept(f"kafka-{version}", [_POM], resolve)


def temporal(say: Say = lambda _: None) -> Path:
    """The folder with Temporal's `server` and its `sql` tool, built the first time."""
    version = _pinned(_GO_MOD, r"\bgo\.temporal\.io/server v(\S+)")

    def build(folder: Path) -> None:
        say(f"building Temporal {version} with Go: ten minutes of two cores, once")
        folder.mkdir()
        go = _tool("go", "Go", "Temporal's server")
        command = [go, "build", "-trimpath", "-ldflags=-s", "-o", f"{folder}/", "tool"]
        _run(command, BUILD_SECONDS)

    return kept(f"temporal-{version}", [_GO_MOD, _GO_SUM], build)


def postgresql() -> Path:
    """The folder with PostgreSQL's programs; raises `StackError`."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(
        _DEBIAN_POSTGRESQL.glob("*/bin"), key=lambda folder: -float(folder.parent.name)
    )
    for folder in folders:
        if all((folder / name).is_file() for name in ("initdb", "postgres", "pg_isready")):
            return folder
    raise StackError(
        "no PostgreSQL on PATH or in /usr/lib/postgresql: Temporal's server needs one "
        "(Debian, Ubuntu: apt-get install postgresql)"
    )


def _pinned(file: Path, pattern: str) -> str:
    found = re.search(pattern, file.read_text())
    return found[1] if found else "unknown"


def kept(name: str, pins: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """The cache folder for the content of `pins`; `make` creates it if it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cart-service"
    digest = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins)).hexdigest()[:8]
    folder = cache / f"{name}-{digest}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as unfinished:
            made = Path(unfinished) / "made"
            make(made)
            with contextlib.suppress(OSError):  # another process was faster
                made.rename(folder)
    return folder


def _tool(command: str, name: str, what: str) -> str:
    path = shutil.which(command)
    if path is None:
        raise StackError(f"no {command}: {name} is needed once, to get {what}")
    return path


def _run(command: Sequence[str], seconds: float) -> None:
    """Runs a tool in this folder."""
    name = " ".join([Path(command[0]).name, *command[1:2]])
    try:
        subprocess.run(
            command,
            cwd=_HERE,
            env=os.environ | {"GOFLAGS": "-mod=readonly"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"{name} has not finished within {seconds:g} s") from None
    except subprocess.CalledProcessError as error:
        end = "".join(error.stdout.splitlines(keepends=True)[-10:]).strip()
        raise StackError(f"{name} failed\n{end}") from None


def main() -> int:
    """Gets all programs; returns 1 if one is not available."""
    say = partial(print, flush=True)
    try:
        say(f"PostgreSQL in {postgresql()}")
        say(f"Java: {java()}")
        say(f"Apache Kafka in {kafka_jars(say)}")
        say(f"Temporal's server in {temporal(say)}")
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
