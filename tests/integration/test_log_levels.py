"""An override of the log level reaches every process, and ends after its time."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from adapters.redis import log_levels
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from tests.support.keys import KEYRING
from tests.support.shop import Shop, World
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_levels, "LOOK_SECONDS", 0.02)


@pytest.fixture
async def redis(world: World) -> AsyncIterator[RedisPool]:
    pool = RedisPool(world.settings.redis)
    yield pool
    async with pool.client("log_level") as client:
        await client.delete(log_levels.KEY)
    await pool.close()


class LevelFollower:
    """A process that follows the override; `levels` are its log levels so far."""

    def __init__(self, redis: RedisPool) -> None:
        self.levels = ["error"]
        self._levels = LogLevels(redis, KEYRING, usual="error", apply=self.levels.append)
        self.ask = self._levels.override

    async def __aenter__(self) -> "LevelFollower":
        self._following = self._levels.following()
        await self._following.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._following.__aexit__(None, None, None)

    async def comes_to(self, *levels: str) -> None:
        async def reached() -> None:
            assert self.levels == list(levels)

        await eventually(reached)


async def test_every_process_follows_an_override_until_its_end(redis: RedisPool) -> None:
    async with LevelFollower(redis) as asked, LevelFollower(redis) as other:
        await asked.ask("debug", seconds=60)
        assert asked.levels == ["error", "debug"]  # applied at once
        await other.comes_to("error", "debug")
        await other.ask("debug", seconds=1)
        await asked.comes_to("error", "debug", "error")
        await other.comes_to("error", "debug", "error")


async def test_a_process_that_starts_later_follows_the_override(redis: RedisPool) -> None:
    await LevelFollower(redis).ask("debug", seconds=60)
    async with LevelFollower(redis) as later:
        await later.comes_to("error", "debug")


async def test_a_later_override_replaces_an_earlier_one(redis: RedisPool) -> None:
    async with LevelFollower(redis) as process, LevelFollower(redis) as other:
        await process.ask("debug", seconds=60)
        await other.comes_to("error", "debug")
        await process.ask("warn", seconds=60)
        await other.comes_to("error", "debug", "warn")


async def test_an_override_ends_also_without_redis(redis: RedisPool) -> None:
    process = LevelFollower(redis)
    await process.ask("debug", seconds=1)
    unreachable = RedisPool(SecretStr("redis://127.0.0.1:1/0"))
    process._levels._redis = unreachable
    async with process:
        await process.comes_to("error", "debug", "error")
    await unreachable.close()


async def test_an_unreadable_override_restores_the_usual_level(redis: RedisPool) -> None:
    async with LevelFollower(redis) as process, LevelFollower(redis) as other:
        await process.ask("debug", seconds=60)
        await other.comes_to("error", "debug")
        async with redis.client("log_level") as client:
            await client.set(log_levels.KEY, '{"level": "loud"}')
        await other.comes_to("error", "debug", "error")
        await process.ask("debug", seconds=60)
        await other.comes_to("error", "debug", "error", "debug")


async def test_the_running_processes_follow_the_override(shop: Shop, redis: RedisPool) -> None:
    """Each process of the stack logs the new level."""
    admin = shop.buyer(role="admin")
    answer = await shop.world.http.post(
        "/admin/log-level", headers=admin.headers, json={"level": "info", "ttlSeconds": 60}
    )
    assert answer.status_code == 200, answer.text

    async def followed() -> None:
        for process in ("api", "worker", "consumer"):
            [log] = shop.world.settings.local_dir.rglob(f"{process}.log")
            assert "Log level is info" in log.read_text(), process

    await eventually(followed)
