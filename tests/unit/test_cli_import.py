"""`cart import`: its report, its exit codes, and what it says of a source that cannot be read."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from cli.import_ import command
from tests.fakes.imports import FakeImports, FakeInventory, FakeStores, each, no_settings, original
from tests.fakes.operators import FakeConnections, opened_as
from tests.unit.cli_standin import CommandResult, run

PAST = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = ("import", "--from", "mongodb://original/shop")


class FakeSchedule:
    """The schedule of the watch over holds; `made` unless no worker has started yet."""

    def __init__(self) -> None:
        self.made = True
        self.notes: list[str] = []
        self.paused = False

    async def describe(self) -> SimpleNamespace:
        if not self.made:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
        return SimpleNamespace(schedule=SimpleNamespace(state=SimpleNamespace(paused=False)))

    async def pause(self, *, note: str) -> None:
        self.paused = True
        self.notes.append(note)

    async def unpause(self, *, note: str) -> None:
        self.paused = False


class World:
    """The systems of the command, and the original carts."""

    def __init__(self) -> None:
        self.originals = [original("ada")]
        self.imports = FakeImports()
        self.inventory = FakeInventory()
        self.schedule = FakeSchedule()
        self.connections = FakeConnections(
            temporal=SimpleNamespace(get_schedule_handle=lambda _: self.schedule),
            carts=SimpleNamespace(client=None),
            store_settings=SimpleNamespace(read_all=no_settings),
        )

    @asynccontextmanager
    async def source(self, uri: str, collection: str) -> AsyncIterator[None]:
        yield

    async def count(self, *_: Any) -> int:
        return len(self.originals)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    opened_as(monkeypatch, world.connections)
    client = SimpleNamespace(of=lambda _: world.inventory)
    for name, value in {
        "ImportedCarts": lambda _: world.imports,
        "InventoryClient": client,
        "StoreRegistry": FakeStores,
        "original_carts": world.source,
        "count": world.count,
        "documents": lambda *_: each(world.originals),
    }.items():
        monkeypatch.setattr(command, name, value)
    return world


@pytest.fixture
def cart_import(world: World, capsys: pytest.CaptureFixture[str]) -> Any:
    def ran(*words: str) -> CommandResult:
        return run(capsys, *SOURCE, *words)

    return ran


def test_a_dry_run_says_what_would_be_imported(world: World, cart_import: Any) -> None:
    ran = cart_import()
    assert ran.code == 0
    assert "1 carts read: 1 can be imported, 0 imported before, 0 left out" in ran.out
    assert "Nothing was changed: --apply imports them." in ran.out
    assert (world.imports.stored, world.inventory.held) == ({}, {})
    assert world.connections.gateway.audited == []


def test_an_import_is_audited_and_pauses_the_watch_meanwhile(
    world: World, cart_import: Any
) -> None:
    ran = cart_import("--apply", "--by", "grace")
    assert (ran.code, "1 carts read: 1 imported" in ran.out) == (0, True)
    assert world.inventory.held == {("ada", "lamp"): 2}
    [entry] = world.connections.gateway.audited
    assert (entry.command, entry.operator, entry.count) == ("import", "grace", 1)
    assert (len(world.schedule.notes), world.schedule.paused) == (1, False)


def test_carts_left_out_are_named_and_end_with_code_1(
    world: World, cart_import: Any, tmp_path: Path
) -> None:
    world.originals.append(original("bob", expireAt=PAST))
    file = tmp_path / "differences.jsonl"
    ran = cart_import("--json", "--report", str(file))
    assert ran.code == 1
    assert (ran.json["dryRun"], ran.json["left"]) == (True, 1)
    assert ran.json["differences"] == {"expired": 1}
    [line] = file.read_text().splitlines()
    assert json.loads(line) == ran.json["examples"][0]
    assert json.loads(line)["cart_id"] == str(world.originals[1]["_id"])


def test_the_table_shows_each_kind_with_an_example(world: World, cart_import: Any) -> None:
    world.inventory.sold_out = {"lamp"}
    ran = cart_import("--apply")
    assert ran.code == 0
    assert "units_not_held" in ran.out
    assert "0 of 2 units are held" in " ".join(ran.out.split())


def test_it_needs_a_worker_that_has_started(world: World, cart_import: Any) -> None:
    world.schedule.made = False
    ran = cart_import("--apply")
    assert ran.code == 1
    assert "Start a worker first" in ran.err
    assert world.imports.stored == {}


def test_a_report_that_cannot_be_written_ends_with_code_2(
    world: World, cart_import: Any, tmp_path: Path
) -> None:
    ran = cart_import("--apply", "--report", str(tmp_path / "absent" / "file"))
    assert (ran.code, "--report: No such file or directory" in ran.err) == (2, True)
    assert world.imports.stored == {}


def test_an_address_without_a_database_ends_with_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened_as(monkeypatch, FakeConnections())
    ran = run(capsys, "import", "--from", "mongodb://127.0.0.1:1")
    assert (ran.code, "--from: No default database" in ran.err) == (2, True)
