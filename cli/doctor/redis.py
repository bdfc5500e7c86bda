"""Redis: whether it answers. Without it the service reads carts from MongoDB."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from cli.console import reason, without_login
from cli.doctor.results import CheckReport, Part
from settings import Settings

TIMEOUT_SECONDS = 1.5


async def check_redis(settings: Settings, report: CheckReport) -> None:
    """Redis answers a ping."""
    url = settings.redis.get_secret_value()
    where = without_login(url)
    client: Redis = Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    is_set = bool(settings.redis_url or settings.redis_host)
    try:
        await client.ping()
    except AuthenticationError as error:
        report.failed(
            Part.REDIS, f"{where} refuses us: {reason(error)}", "check REDIS_PASSWORD or REDIS_URL"
        )
    except (RedisError, OSError) as error:
        report.unreachable(Part.REDIS, where, error, "REDIS_URL or REDIS_HOST", is_set=is_set)
    else:
        report.ok(Part.REDIS, where)
    finally:
        await client.aclose()
