"""Redis: a key can be written, read and deleted."""

from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from adapters.redis.refusals import in_words, refusal_of
from cli.doctor import places
from cli.doctor.results import CheckReport, Part, fastest
from settings import Settings

TIMEOUT_SECONDS = 3.0
SLOW_SECONDS = 0.05
EXPIRES_SECONDS = 10


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
        shards = await _shards(client)  # also connects, whose time is not shown
        if shards > 1:
            what = f"{where} is a cluster of {shards} shards"
            advice = "use one shard, or a proxy in front of them: the client follows no redirection"
            report.failed(Part.REDIS, what, advice)
            return
        took = await fastest(lambda: client.set(key, b"1", ex=EXPIRES_SECONDS))
        kept = await client.get(key)
        await client.delete(key)
    except (RedisError, OSError) as error:
        if refusal := refusal_of(error):
            did = "refuses us" if refusal.is_login else "answers, and refuses a write"
            what = f"{where} {did}: {in_words(error, refusal)}"
            report.failed(Part.REDIS, what, refusal.advice)
        else:
            report.unreachable(Part.REDIS, place, error)
    else:
        if kept is None:
            report.failed(Part.REDIS, f"{where} lost a key that was just written", "see its log")
        else:
            report.answered(Part.REDIS, where, "a write", took, slow_after=SLOW_SECONDS)
    finally:
        await client.aclose()


async def _shards(client: Redis) -> int:
    """The number of primaries of a cluster; 1 without one, or if the server does not say."""
    try:
        info = await client.info("cluster")
        if not info.get("cluster_enabled"):
            return 1
        state = await client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]
    except ResponseError:  # a user without the permission, or a proxy
        return 1
    fields = dict(line.partition(b":")[::2] for line in state.splitlines())
    return int(fields.get(b"cluster_size", 1))
