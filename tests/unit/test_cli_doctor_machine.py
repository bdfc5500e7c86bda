"""The findings of `cart doctor` about this machine."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.doctor.machine import check_machine
from cli.doctor.results import CheckReport, CheckResult, Status
from settings import Settings


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the operating system says: load, free bytes, and whether the folder is writable."""
    state: dict[str, Any] = {"load": 0.5, "free": 5 << 30, "writable": True}
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (state["load"], 0, 0))
    monkeypatch.setattr(os, "access", lambda *_: state["writable"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=state["free"]))
    return state


async def examine_machine(folder: Path) -> list[CheckResult]:
    report = CheckReport()
    await check_machine(Settings(local_dir=folder), report)
    return report.results


async def test_a_machine_with_time_and_room(machine: dict[str, Any], tmp_path: Path) -> None:
    [finding] = await examine_machine(tmp_path)
    assert finding.state is Status.OK
    assert finding.what == f"load 0.5 on 2 cores; 5.0 GB free for {tmp_path}"


async def test_a_full_disk_is_named(machine: dict[str, Any], tmp_path: Path) -> None:
    machine["free"] = 100 << 20
    [finding] = await examine_machine(tmp_path)
    assert finding.state is Status.FAILED
    assert f"nearly full; 0.1 GB free for {tmp_path}" in finding.what


async def test_a_folder_that_is_not_writable_is_named(
    machine: dict[str, Any], tmp_path: Path
) -> None:
    machine["writable"] = False
    [finding] = await examine_machine(tmp_path)
    assert (finding.state, str(tmp_path) in finding.what) == (Status.FAILED, True)


async def test_without_a_local_stack_its_disk_is_not_looked_at(
    machine: dict[str, Any], tmp_path: Path
) -> None:
    machine["free"] = 0
    [finding] = await examine_machine(tmp_path / "none")
    assert (finding.state, finding.what) == (Status.OK, "load 0.5 on 2 cores")


async def test_an_overloaded_machine_says_so(machine: dict[str, Any], tmp_path: Path) -> None:
    machine["load"] = 20.1
    [finding] = await examine_machine(tmp_path)
    assert finding.state is Status.WARN
    assert "load 20.1 on 2 cores: overloaded" in finding.what
