"""A temporary log level of all processes: it ends in time, and only this service can set it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from adapters.keyring import Keyring
from adapters.redis import log_levels
from adapters.redis.checked import signed
from adapters.redis.log_levels import KEY, LevelOverride, LogLevels
from models.errors import DependencyUnavailable
from models.wire import to_json
from settings import LogLevel
from tests.fakes.redis import FakePool
from tests.support.keys import KEYRING


class Process:
    """A process with its own level, and the levels that it has had."""

    def __init__(self, pool: FakePool, usual: str = "info") -> None:
        self.had: list[str] = []
        self.levels = LogLevels(cast(Any, pool), KEYRING, usual=usual, apply=self.had.append)

    async def look(self) -> str | None:
        await self.levels._follow()
        return self.had[-1] if self.had else None


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


class Clock(datetime):
    """A clock that tests set."""

    at = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        assert tz is UTC
        return cls.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Clock]]:
    began = Clock.at
    monkeypatch.setattr(log_levels, "datetime", Clock)
    yield Clock
    Clock.at = began


async def test_all_processes_follow_an_override_until_it_ends(
    pool: FakePool, clock: type[Clock]
) -> None:
    api, worker = Process(pool), Process(pool, usual="error")
    override = await api.levels.override("debug", seconds=60)
    assert override == LevelOverride(LogLevel.DEBUG, clock.at + timedelta(seconds=60))
    assert api.had == ["debug"]  # at once, before it looks again
    assert (await api.look(), await worker.look()) == ("debug", "debug")
    assert pool.redis.ttls[KEY] == 60
    pool.down = True
    clock.at += timedelta(seconds=59)
    assert await worker.look() == "debug"
    clock.at += timedelta(seconds=1)  # it ends also without Redis
    assert (await api.look(), await worker.look()) == ("info", "error")
    assert api.had == ["debug", "info"]


async def test_a_process_that_starts_later_follows_it_too(pool: FakePool) -> None:
    await Process(pool).levels.override("warn", seconds=60)
    assert await Process(pool).look() == "warn"


async def test_an_override_that_is_taken_back_ends(pool: FakePool) -> None:
    api = Process(pool)
    await api.levels.override("debug", seconds=60)
    await pool.redis.delete(KEY)
    assert await api.look() == "info"


async def test_an_override_that_cannot_be_stored_changes_nothing(pool: FakePool) -> None:
    pool.down = True
    api = Process(pool)
    with pytest.raises(DependencyUnavailable):
        await api.levels.override("debug", seconds=60)
    assert (await api.look(), api.had) == (None, [])


OTHER = Keyring(["another-secret-that-is-long-enough-for-this"])
SOON = LevelOverride(LogLevel.DEBUG, datetime.now(UTC) + timedelta(minutes=5))
NEVER = LevelOverride(LogLevel.DEBUG, datetime.now(UTC) + timedelta(days=365))


@pytest.mark.parametrize(
    "value",
    [
        to_json(SOON),
        signed(OTHER, to_json(SOON), "log_level"),
        signed(KEYRING, to_json(SOON), "cart"),
        signed(KEYRING, to_json(NEVER), "log_level"),
        signed(KEYRING, b'{"level":"silly","until":"2026-01-27T10:30:00Z"}', "log_level"),
        b"debug",
    ],
    ids=["unsigned", "another key", "another use", "ends too late", "no level", "no JSON"],
)
async def test_a_value_that_this_service_would_not_write_is_ignored(
    value: bytes, pool: FakePool
) -> None:
    pool.redis.values[KEY] = value
    assert await Process(pool).look() is None
