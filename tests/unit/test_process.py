"""How a process starts and ends: its exit code is what a supervisor acts on."""

import asyncio

import pytest

import process
from settings import Settings, SettingsError
from tests.fakes.api import settings_for_tests


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a process does before it runs, without an effect on this one."""
    done: list[str] = []
    for name in ("configure_logging", "start_metrics", "serve_metrics", "tune_collector"):
        monkeypatch.setattr(process, name, lambda *_, name=name: done.append(name))
    monkeypatch.setattr("uvloop.run", asyncio.run)
    monkeypatch.setattr(process, "load_settings", settings_for_tests)
    return done


def test_a_process_that_was_stopped_ends_with_0(started: list[str]) -> None:
    async def run(settings: Settings) -> None:
        assert settings
        started.append("run")

    assert process.run_process("worker", run) == 0
    # Logs come first, and the collector is tuned once all modules are there.
    assert (started[0], started[-2:]) == ("configure_logging", ["tune_collector", "run"])


def test_settings_that_cannot_be_used_end_with_2_and_are_named(
    started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unusable() -> Settings:
        raise SettingsError("PORT: must be a number")

    async def run(_: Settings) -> None:
        started.append("run")

    monkeypatch.setattr(process, "load_settings", unusable)
    assert process.run_process("worker", run) == 2
    assert "The settings cannot be used:\nPORT: must be a number" in capsys.readouterr().err
    assert started == []
