"""Redis: one process's connections for everything that asks it, with their limits and errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from adapters.breaker import CircuitBreaker
from models.errors import DependencyUnavailable
from telemetry import tracing
from telemetry.metrics import REDIS_AWAY

CALL_SECONDS = 0.5
MAX_CONNECTIONS = 64

Use = Literal["cart", "stock", "rate_limit", "log_level"]


class _Redis(Redis):
    """The client, with a span of each command, which tells no key and no value."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        command = str(args[0])
        with tracing.span(command, {"db.system.name": "redis", "db.operation.name": command}):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class RedisPool:
    """One client and one circuit breaker: who finds Redis away spares all the others the wait.

    Connections are made when they are needed. With all of them in use a call waits for one, for at
    most `CALL_SECONDS`.
    """

    def __init__(self, url: SecretStr) -> None:
        pool = BlockingConnectionPool.from_url(
            url.get_secret_value(),
            max_connections=MAX_CONNECTIONS,
            timeout=CALL_SECONDS,
            socket_timeout=CALL_SECONDS,
            socket_connect_timeout=CALL_SECONDS,
            retry=Retry(NoBackoff(), 1),  # once: for a pooled connection that the server has closed
            health_check_interval=0,
        )
        self._redis = _Redis.from_pool(pool)
        self._breaker = CircuitBreaker("redis", call="command", failures=2, cooldown_seconds=1.0)

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        """Raises `DependencyUnavailable` unless Redis answers, whatever the breaker thinks."""
        async with _naming_redis():
            await self._redis.ping()

    @property
    def is_away(self) -> bool:
        """Whether a call would fail at once now: Redis was away a moment ago."""
        return self._breaker.is_open

    def script(self, text: str) -> AsyncScript:
        """A Lua script, to be called inside `asked`."""
        return self._redis.register_script(text)

    @asynccontextmanager
    async def asked(self, use: Use) -> AsyncIterator[Redis]:
        """The client; raises `DependencyUnavailable` when Redis does not answer inside.

        What is done without Redis then is counted by its `use`.
        """
        try:
            async with self._breaker.guard(), _naming_redis():
                yield self._redis
        except DependencyUnavailable:
            REDIS_AWAY.add(1, {"use": use})
            raise


@asynccontextmanager
async def _naming_redis() -> AsyncIterator[None]:
    try:
        yield
    # RuntimeError is uvloop's for a write to a connection that was closed under it just now.
    except (RedisError, OSError, TimeoutError, RuntimeError) as error:
        raise DependencyUnavailable("redis", repr(error)) from error
