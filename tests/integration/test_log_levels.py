"""A log level that was asked for reaches every process, and is gone when its time is over."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from adapters.redis import log_levels
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from tests.support.shop import Shop, World
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_levels, "LOOK_SECONDS", 0.02)


@pytest.fixture
async def redis(world: World) -> AsyncIterator[RedisPool]:
    pool = RedisPool(world.settings.redis)
    yield pool
    async with pool.asked("log_level") as client:
        await client.delete(log_levels.KEY)
    await pool.close()


class Process:
    """A process as far as it follows: `levels` are what it has logged at, one after the other."""

    def __init__(self, redis: RedisPool) -> None:
        self.levels = ["error"]
        self._levels = LogLevels(redis, usual="error", apply=self.levels.append)
        self.ask = self._levels.ask

    async def __aenter__(self) -> "Process":
        self._levels.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._levels.close()

    async def comes_to(self, *levels: str) -> None:
        async def reached() -> None:
            assert self.levels == list(levels)

        await eventually(reached)


async def test_every_process_follows_and_goes_back_when_the_time_is_over(redis: RedisPool) -> None:
    async with Process(redis) as asked, Process(redis) as other:
        await asked.ask("debug", seconds=60)
        assert asked.levels == ["error", "debug"]  # who is asked need not look
        await other.comes_to("error", "debug")
        await other.ask("debug", seconds=1)
        await asked.comes_to("error", "debug", "error")
        await other.comes_to("error", "debug", "error")


async def test_a_process_that_starts_later_follows_too(redis: RedisPool) -> None:
    await Process(redis).ask("debug", seconds=60)
    async with Process(redis) as later:
        await later.comes_to("error", "debug")


async def test_a_later_wish_replaces_the_earlier(redis: RedisPool) -> None:
    async with Process(redis) as process, Process(redis) as other:
        await process.ask("debug", seconds=60)
        await other.comes_to("error", "debug")
        await process.ask("warn", seconds=60)
        await other.comes_to("error", "debug", "warn")


async def test_without_redis_it_goes_back_all_the_same(redis: RedisPool) -> None:
    process = Process(redis)
    await process.ask("debug", seconds=1)
    away = RedisPool(SecretStr("redis://127.0.0.1:1/0"))
    process._levels._redis = away
    async with process:
        await process.comes_to("error", "debug", "error")
    await away.close()


async def test_what_cannot_be_read_changes_nothing(redis: RedisPool) -> None:
    async with Process(redis) as process, Process(redis) as other:
        await process.ask("debug", seconds=60)
        await other.comes_to("error", "debug")
        async with redis.asked("log_level") as client:
            await client.set(log_levels.KEY, '{"level": "loud"}')
        await other.comes_to("error", "debug", "error")
        await process.ask("debug", seconds=60)
        await other.comes_to("error", "debug", "error", "debug")


async def test_the_running_processes_are_told(shop: Shop, redis: RedisPool) -> None:
    """The stack's processes log at debug; what they make of another level stands in their logs."""
    admin = shop.buyer(role="admin")
    answer = await shop.world.http.post(
        "/admin/log-level", headers=admin.headers, json={"level": "info", "ttlSeconds": 60}
    )
    assert answer.status_code == 200, answer.text

    async def told() -> None:
        for process in ("api", "worker", "consumer"):
            [log] = shop.world.settings.local_dir.rglob(f"{process}.log")
            assert "Log level is info" in log.read_text(), process

    await eventually(told)
