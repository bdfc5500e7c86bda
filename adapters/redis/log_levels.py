"""Redis: a temporary log level for all processes.

Each process reads the override every `LOOK_SECONDS`, so processes that start later follow it too.
Each returns to its own level when the override expires, also while Redis is unavailable.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import structlog
from pydantic import TypeAdapter, ValidationError

from adapters.background import repeating
from adapters.keyring import Keyring
from adapters.redis.checked import checked, signed
from adapters.redis.pool import RedisPool
from logs import set_level
from models.errors import DependencyUnavailable
from models.wire import to_json
from settings import LogLevel

logger = structlog.stdlib.get_logger(__name__)

KEY = "cart:log-level"
LOOK_SECONDS = 1.0
MAX_SECONDS = 86_400
"""The longest time for which the level can be overridden."""
CLOCK_SKEW_SECONDS = 300
"""How far the clocks of two processes may differ."""


@dataclass(frozen=True, slots=True)
class LevelOverride:
    """A level as in LOG_LEVEL, and when it expires."""

    level: LogLevel
    until: datetime


_OVERRIDE = TypeAdapter(LevelOverride)


class LogLevels:
    """Applies the override to this process. `usual` is the process's own level."""

    def __init__(
        self,
        redis: RedisPool,
        keyring: Keyring,
        *,
        usual: str,
        apply: Callable[[str], None] = set_level,
    ) -> None:
        self._redis = redis
        self._keyring = keyring
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
                value = signed(self._keyring, to_json(override), "log_level")
                await redis.set(KEY, value, ex=seconds)
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
                    value = cast("bytes | None", await redis.get(KEY))
                self._override = self._read(value)
            except DependencyUnavailable as error:  # the last known override stays in force
                logger.debug(
                    "log_level_unread",
                    message="Could not read the log-level override",
                    reason=str(error),
                )
            self._apply()

    def _read(self, value: bytes | None) -> LevelOverride | None:
        """The override, unless it was not written by this service or ends too late."""
        override = _parsed(checked(self._keyring, value, "log_level"))
        latest = datetime.now(UTC) + timedelta(seconds=MAX_SECONDS + CLOCK_SKEW_SECONDS)
        return override if override is not None and override.until <= latest else None

    def _apply(self) -> None:
        override = self._override
        level = override.level if override and datetime.now(UTC) < override.until else self._usual
        if level != self._current:
            self._current = level
            self._set_level(level)
            logger.info("log_level_changed", message=f"Log level is {level}")


def _parsed(text: bytes | None) -> LevelOverride | None:
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
