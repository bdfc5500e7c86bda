"""The programs of the production servers: builds, the cache, and errors."""

from pathlib import Path

import pytest

from dev.stack.process import StackError
from dev.stack.production import builds


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with pinned versions, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "pins"
    file.write_text("one")
    return file


def tool(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_a_build_is_cached_until_its_pins_change(pins: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        folder.mkdir()
        made.append(folder)

    first = builds.kept("thing", [pins], make)
    assert builds.kept("thing", [pins], make) == first
    assert len(made) == 1
    pins.write_text("two")
    assert builds.kept("thing", [pins], make) != first
    assert len(made) == 2


def test_a_failed_build_is_retried(pins: Path) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        raise StackError("no network")

    for _ in range(2):
        with pytest.raises(StackError, match="no network"):
            builds.kept("thing", [pins], fail)


def test_a_missing_program_is_named(
    pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(builds, "_DEBIAN_POSTGRESQL", tmp_path)
    with pytest.raises(StackError, match="apt-get install postgresql"):
        builds.postgresql()
    with pytest.raises(StackError, match="needs Java 17"):
        builds.java()
    with pytest.raises(StackError, match="Go is needed once, to get Temporal's server"):
        builds.temporal()
    with pytest.raises(StackError, match="Maven is needed once, to get Apache Kafka"):
        builds.kafka_jars()


def test_a_tool_that_fails_is_quoted(
    pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, "mvn", "echo cannot resolve the jars; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(StackError, match=r"mvn -q failed\ncannot resolve the jars"):
        builds.kafka_jars()


def test_a_tool_that_hangs_is_killed(tmp_path: Path) -> None:
    tool(tmp_path, "hangs", "exec sleep 60")
    with pytest.raises(StackError, match=r"hangs has not finished within 0.2 s"):
        builds._run([str(tmp_path / "hangs")], 0.2)


def test_the_newest_postgresql_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(builds, "_DEBIAN_POSTGRESQL", tmp_path)
    for version in ("9.6", "15", "17"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        for name in ("initdb", "postgres", "pg_isready"):
            tool(folder, name, "")
    (tmp_path / "17/bin/initdb").unlink()
    assert builds.postgresql() == tmp_path / "15/bin"
