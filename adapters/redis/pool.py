"""Redis: a process's connections, with their limits and errors."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from adapters.breaker import CircuitBreaker
from adapters.redis.refusals import in_words, refusal_of
from models.errors import DependencyRefuses, DependencyUnavailable
from telemetry import tracing
from telemetry.metrics import REDIS_AWAY

CALL_SECONDS = 0.5
MAX_CONNECTIONS = 64
FAILING_SUBJECTS = 3
LATEST_CALLS = 6

Use = Literal["cart", "stock", "rate_limit", "log_level"]


class _Pipeline(Pipeline):
    """A pipeline, with one span of its round trip."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        attributes: dict[str, str | int] = {
            "db.system.name": "redis",
            "db.operation.name": "PIPELINE",
            "db.operation.batch.size": len(self.command_stack),
        }
        with tracing.span("PIPELINE", attributes):
            return await super().execute(raise_on_error)


class _Redis(Redis):
    """The client, with a span for each command. Spans contain no keys and no values."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        command = str(args[0])
        with tracing.span(command, {"db.system.name": "redis", "db.operation.name": command}):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class RedisPool:
    """One client and one circuit breaker for all uses of Redis.

    Connects on the first call. A call waits for a free connection for at most `CALL_SECONDS`.
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
        self.breaker = CircuitBreaker(
            "redis",
            call="command",
            failures=FAILING_SUBJECTS,
            cooldown_seconds=1.0,
            window=LATEST_CALLS,
        )

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        """Raises `DependencyUnavailable` unless Redis answers. Ignores the circuit breaker."""
        async with _as_unavailable():
            await self._redis.ping()

    def script(self, text: str) -> AsyncScript:
        """A Lua script, to be called within `client`."""
        return self._redis.register_script(text)

    @asynccontextmanager
    async def client(self, use: Use, subject: str | None = None) -> AsyncIterator[Redis]:
        """The client. Raises `DependencyUnavailable` when Redis does not answer in the block.

        And `DependencyRefuses` when it answers with an error: it is full or read-only. Counts each
        such failure by `use`. `subject` is the cart or product that the block is about: one whose
        keys cannot be read or written does not stop the use of others.
        """
        try:
            async with self.breaker.guard(subject), _as_unavailable():
                yield self._redis
        except DependencyUnavailable as error:
            refusal = error.__cause__ and refusal_of(error.__cause__)
            if refusal and refusal.is_elsewhere:
                # For instance a primary that was demoted: a new connection follows the address.
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            REDIS_AWAY.add(1, {"use": use})
            raise


async def get_all(redis: Redis, keys: Iterable[str]) -> list[bytes | None]:
    """The values of keys, in one round trip.

    Not by MGET, whose keys must be in one slot of a cluster.
    """
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
    return await pipeline.execute()


@asynccontextmanager
async def _as_unavailable() -> AsyncIterator[None]:
    try:
        yield
    # uvloop raises RuntimeError for a write to a connection that was closed meanwhile.
    except (RedisError, OSError, TimeoutError, RuntimeError) as error:
        if refusal := refusal_of(error):
            raise DependencyRefuses("redis", in_words(error, refusal)) from error
        raise DependencyUnavailable("redis", repr(error)) from error
