"""Redis: the log level that somebody has asked for, for every process, until its time is over.

Each process looks for it every second. So one that starts later, or whose Redis was away, follows
too, and all go back by themselves, also when Redis is away by then.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from adapters.redis.pool import RedisPool
from logs import set_level
from models.errors import DependencyUnavailable
from models.wire import timestamp
from settings import LogLevel

logger = logging.getLogger(__name__)

KEY = "cart:log-level"
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AskedLevel:
    """A level as in LOG_LEVEL, and when it ends."""

    level: str
    until: datetime


class LogLevels:
    """Follows what is asked for; `usual` is this process's own level."""

    def __init__(
        self, redis: RedisPool, *, usual: str, apply: Callable[[str], None] = set_level
    ) -> None:
        self._redis = redis
        self._usual = usual
        self._set_level = apply
        self._current = usual
        self._asked: AskedLevel | None = None
        self._following: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._turn = asyncio.Lock()  # who looks must not overlook what is being asked

    def open(self) -> None:
        """Begins to follow, for as long as the process lives."""
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        self._closing.set()
        if self._following is not None:
            await self._following

    async def ask(self, level: str, *, seconds: int) -> AskedLevel:
        """Asks every process for a level; raises `DependencyUnavailable` when nobody would hear."""
        asked = AskedLevel(level, datetime.now(UTC) + timedelta(seconds=seconds))
        text = orjson.dumps({"level": level, "until": timestamp(asked.until)})
        async with self._turn:
            async with self._redis.asked("log_level") as redis:
                await redis.set(KEY, text, ex=seconds)
            self._asked = asked
            self._apply()
        return asked

    async def _follow(self) -> None:
        while not self._closing.is_set():
            async with self._turn:
                await self._look()
                self._apply()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._closing.wait()

    async def _look(self) -> None:
        try:
            async with self._redis.asked("log_level") as redis:
                self._asked = _asked(await redis.get(KEY))
        except DependencyUnavailable as error:  # what was asked for last holds for its time
            logger.debug("Log level is not looked for: %s", error)

    def _apply(self) -> None:
        asked = self._asked
        level = asked.level if asked and datetime.now(UTC) < asked.until else self._usual
        if level != self._current:
            self._current = level
            self._set_level(level)
            logger.info("Log level is %s", level, extra={"event": "log_level_changed"})


def _asked(text: str | bytes | None) -> AskedLevel | None:
    if text is None:
        return None
    try:
        fields = orjson.loads(text)
        return AskedLevel(LogLevel(fields["level"]), datetime.fromisoformat(fields["until"]))
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("What %s says cannot be read: %r", KEY, error)
        return None
