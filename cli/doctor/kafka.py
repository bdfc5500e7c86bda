"""Kafka: whether a broker answers, whether it has our topics, and whether anybody consumes."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.kafka.publisher import connection_options
from cli.console import reason
from cli.doctor.findings import Report, start_or_check
from models.events import TOPICS
from settings import Settings

KAFKA = "Kafka"
KAFKA_TOPICS = "Kafka topics"
CONSUMER = "consumer"
TIMEOUT_MS = 1_500


async def check_kafka(settings: Settings, report: Report) -> None:
    """A broker gives its metadata, every topic is in it, and our group has members."""
    where = ", ".join(settings.kafka)
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=TIMEOUT_MS)
    try:
        await admin.start()
        there = set(await admin.list_topics())
        members = await _members(admin, settings.kafka_group_id)
    except (KafkaError, OSError) as error:
        report.failed(
            KAFKA,
            f"does not answer at {where} ({_why(error)})",
            start_or_check("KAFKA_BROKERS", is_set=settings.kafka_brokers is not None),
        )
        return
    finally:
        await admin.close()
    report.ok(KAFKA, where)
    missing = [topic for topic in TOPICS if topic not in there]
    if missing:
        report.failed(KAFKA_TOPICS, f"missing: {', '.join(missing)}", "run `cart setup`")
    else:
        report.ok(KAFKA_TOPICS, f"all {len(TOPICS)} are there")
    _consumer(settings.kafka_group_id, members, report)


async def _members(admin: AIOKafkaAdminClient, group_id: str) -> int:
    """How many members a consumer group has; 0 where nobody has heard of it."""
    [answer] = await admin.describe_consumer_groups([group_id])
    return sum(len(group["members"]) for group in answer.to_object()["groups"])


def _consumer(group_id: str, members: int, report: Report) -> None:
    if members:
        report.ok(CONSUMER, f"{members} in group {group_id!r}")
        return
    report.failed(
        CONSUMER,
        f"nobody is in group {group_id!r}: events of other services wait",
        "start `python consumer.py` (`make run` does); see KAFKA_GROUP_ID",
    )


def _why(error: Exception) -> str:
    text = reason(error)
    if "Unable to bootstrap" in text or "KafkaConnectionError" in text:
        return "no broker can be reached"
    return text
