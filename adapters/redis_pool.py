"""Redis: the client of everything that asks it, its time limits, and what its errors mean here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from models.errors import DependencyUnavailable

CALL_SECONDS = 0.5
MAX_CONNECTIONS = 64


def open_redis(url: SecretStr) -> Redis:
    """A client; its connections are made when they are needed.

    With all of them in use a call waits for one, for at most `CALL_SECONDS`.
    """
    pool = BlockingConnectionPool.from_url(
        url.get_secret_value(),
        max_connections=MAX_CONNECTIONS,
        timeout=CALL_SECONDS,
        socket_timeout=CALL_SECONDS,
        socket_connect_timeout=CALL_SECONDS,
        retry=Retry(NoBackoff(), 1),  # once: for a pooled connection that the server has closed
        health_check_interval=0,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def naming_redis() -> AsyncIterator[None]:
    """Names Redis when it does not answer."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise DependencyUnavailable("redis", repr(error)) from error
