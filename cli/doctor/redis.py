"""Redis: a key can be written, read and deleted."""

from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from cli.console import reason
from cli.doctor import places
from cli.doctor.results import CheckReport, Part, fastest
from settings import Settings

TIMEOUT_SECONDS = 3.0
SLOW_SECONDS = 0.05
EXPIRES_SECONDS = 10
_ADVICE: tuple[tuple[type[ResponseError], str], ...] = (
    (
        OutOfMemoryError,
        "it is full: more memory (`CONFIG SET maxmemory`), or a `maxmemory-policy` that evicts",
    ),
    (
        ReadOnlyError,
        "it is a replica: point REDIS_URL to the primary (`REPLICAOF NO ONE` makes it one)",
    ),
    (NoPermissionError, "give the user of REDIS_URL the permission to write (`ACL SETUSER`)"),
    (ResponseError, "free space on its disk if it says so (MISCONF); its log has the reason"),
)


async def check_redis(settings: Settings, report: CheckReport) -> None:
    """A key can be written, read and deleted, not only a ping be answered."""
    place = places.redis(settings)
    where = place.address
    client: Redis = Redis.from_url(
        settings.redis.get_secret_value(),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    key = f"cart:doctor:{uuid4().hex}"
    try:
        await client.ping()  # the time to connect is not shown
        took = await fastest(lambda: client.set(key, b"1", ex=EXPIRES_SECONDS))
        kept = await client.get(key)
        await client.delete(key)
    except AuthenticationError as error:
        report.failed(
            Part.REDIS, f"{where} refuses us: {reason(error)}", "check REDIS_PASSWORD or REDIS_URL"
        )
    except ResponseError as error:
        advice = next(text for kind, text in _ADVICE if isinstance(error, kind))
        report.failed(Part.REDIS, f"{where} answers, and refuses a write: {error}", advice)
    except (RedisError, OSError) as error:
        report.unreachable(Part.REDIS, place, error)
    else:
        if kept is None:
            report.failed(Part.REDIS, f"{where} lost a key that was just written", "see its log")
        else:
            report.answered(Part.REDIS, where, "a write", took, slow_after=SLOW_SECONDS)
    finally:
        await client.aclose()
