"""The API, the inventory, Redis and Kafka."""

from http import HTTPStatus

import httpx
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from adapters.kafka.publisher import connection_options
from cli.console import reason, without_login
from cli.doctor.results import CheckReport, Part
from models.events import TOPICS
from settings import Settings

HTTP_TIMEOUT_SECONDS = 1.7
REDIS_TIMEOUT_SECONDS = 1.5
KAFKA_TIMEOUT_MS = 1_500
_WELL = ("connected", "reachable", "healthy", "ok")


async def check_api(settings: Settings, report: CheckReport) -> None:
    """The API is live and ready."""
    url = settings.api_url
    advice = "see the dependencies below"
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_SECONDS, trust_env=False) as http:
        try:
            live = await http.get(f"{url}/health/live")
        except httpx.HTTPError as error:
            start = "start it with `make run` or `python -m api`; PORT says where it is"
            report.failed(Part.API, f"does not answer at {url} ({reason(error)})", start)
            return
        if live.status_code != HTTPStatus.OK:
            what = f"{url}/health/live answered {live.status_code}"
            report.failed(Part.API, what, "another service may be listening there: see PORT")
            return
        try:
            ready = await http.get(f"{url}/health/ready")
        except httpx.HTTPError as error:
            report.failed(Part.API, f"{url}/health/ready: {reason(error)}", advice)
            return
    if ready.status_code == HTTPStatus.OK:
        report.ok(Part.API, f"{url} is live and ready")
    else:
        why = f"{ready.status_code}{_services_down(ready)}"
        report.failed(Part.API, f"{url} is live but not ready ({why})", advice)


def _services_down(answer: httpx.Response) -> str:
    """The dependencies that a health answer reports as down."""
    try:
        services = answer.json()["services"]
        down = [f"{name} {state}" for name, state in services.items() if state not in _WELL]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f": {', '.join(down)}" if down else ""


async def check_inventory(settings: Settings, report: CheckReport) -> None:
    """The inventory reports that it is healthy."""
    where = without_login(settings.inventory)
    is_set = settings.inventory_service_url is not None
    try:
        async with httpx.AsyncClient(
            timeout=HTTP_TIMEOUT_SECONDS,
            headers=settings.inventory_credentials,
            verify=settings.inventory_tls() or True,
        ) as http:
            answer = await http.get(f"{settings.inventory}/health")
    except httpx.HTTPError as error:
        setting = "INVENTORY_SERVICE_URL"
        report.unreachable(Part.INVENTORY, where, error, setting, is_set=is_set)
        return
    if answer.status_code == HTTPStatus.OK:
        report.ok(Part.INVENTORY, f"{where} is healthy")
    else:
        what = f"{where}/health answered {answer.status_code}"
        report.failed(Part.INVENTORY, what, "see its log; the reference inventory needs MongoDB")


async def check_redis(settings: Settings, report: CheckReport) -> None:
    """Redis answers a ping."""
    url = settings.redis.get_secret_value()
    where = without_login(url)
    client: Redis = Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
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


async def check_kafka(settings: Settings, report: CheckReport) -> None:
    """A broker answers, every topic exists, and our consumer group has members."""
    where = ", ".join(settings.kafka)
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=KAFKA_TIMEOUT_MS)
    try:
        await admin.start()
        there = set(await admin.list_topics())
        [answer] = await admin.describe_consumer_groups([settings.kafka_group_id])
    except (KafkaError, OSError) as error:
        is_set = settings.kafka_brokers is not None
        report.unreachable(Part.KAFKA, where, error, "KAFKA_BROKERS", is_set=is_set)
        return
    finally:
        await admin.close()
    report.ok(Part.KAFKA, where)
    missing = [topic for topic in TOPICS if topic not in there]
    if missing:
        report.failed(Part.TOPICS, f"missing: {', '.join(missing)}", "run `cart setup`")
    else:
        report.ok(Part.TOPICS, f"all {len(TOPICS)} exist")
    group = f"group {settings.kafka_group_id!r}"
    # An unknown group has no members either.
    members = sum(len(described["members"]) for described in answer.to_object()["groups"])
    if members:
        report.ok(Part.CONSUMER, f"{members} in {group}")
    else:
        report.failed(
            Part.CONSUMER,
            f"{group} has no members: events of other services wait",
            "start `python consumer.py` (`make run` does); see KAFKA_GROUP_ID",
        )
