"""Redis: a temporary log level for all processes.

Each process reads the override every `LOOK_SECONDS`, so processes that start later follow it too.
Each returns to its own level when the override expires, also while Redis is unavailable.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from pydantic import TypeAdapter, ValidationError

from adapters.background import repeating
from adapters.redis.pool import RedisPool
from logs import set_level
from models.errors import DependencyUnavailable
from models.wire import to_json
from settings import LogLevel

logger = structlog.stdlib.get_logger(__name__)

KEY = "cart:log-level"
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LevelOverride:
    """A level as in LOG_LEVEL, and when it expires."""

    level: LogLevel
    until: datetime


_OVERRIDE = TypeAdapter(LevelOverride)


class LogLevels:
    """Applies the override to this process. `usual` is the process's own level."""

    def __init__(
        self, redis: RedisPool, *, usual: str, apply: Callable[[str], None] = set_level
    ) -> None:
        self._redis = redis
        self._usual = usual
        self._set_level = apply
        self._current = usual
        self._override: LevelOverride | None = None
        self._lock = asyncio.Lock()  # a read that began before an override must not undo it

    async def override(self, level: str, *, seconds: int) -> LevelOverride:
        """Sets the level of every process for a time.

        Raises `DependencyUnavailable` when Redis does not answer; then nothing changes.
        """
        override = LevelOverride(LogLevel(level), datetime.now(UTC) + timedelta(seconds=seconds))
        async with self._lock:
            async with self._redis.client("log_level") as redis:
                await redis.set(KEY, to_json(override), ex=seconds)
            self._override = override
            self._apply()
        return override

    def following(self) -> AbstractAsyncContextManager[None]:
        """Follows the override while a block runs."""
        return repeating("log level", self._follow, every_seconds=LOOK_SECONDS)

    async def _follow(self) -> None:
        async with self._lock:
            try:
                async with self._redis.client("log_level") as redis:
                    self._override = _parsed(await redis.get(KEY))
            except DependencyUnavailable as error:  # the last known override stays in force
                logger.debug(
                    "log_level_unread",
                    message="Could not read the log-level override",
                    reason=str(error),
                )
            self._apply()

    def _apply(self) -> None:
        override = self._override
        level = override.level if override and datetime.now(UTC) < override.until else self._usual
        if level != self._current:
            self._current = level
            self._set_level(level)
            logger.info("log_level_changed", message=f"Log level is {level}")


def _parsed(text: str | bytes | None) -> LevelOverride | None:
    if text is None:
        return None
    try:
        return _OVERRIDE.validate_json(text)
    except ValidationError as error:
        logger.warning(
            "log_level_invalid",
            message="The log-level override is invalid",
            key=KEY,
            reason=repr(error),
        )
        return None
