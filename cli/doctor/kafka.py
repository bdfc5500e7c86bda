"""Kafka: whether a broker answers, has our topics, and has consumers in our group."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.kafka.publisher import connection_options
from cli.console import reason
from cli.doctor.results import CheckReport, start_or_check
from models.events import TOPICS
from settings import Settings

KAFKA = "Kafka"
KAFKA_TOPICS = "Kafka topics"
CONSUMER = "consumer"
TIMEOUT_MS = 1_500


async def check_kafka(settings: Settings, report: CheckReport) -> None:
    """A broker answers, every topic exists, and our consumer group has members."""
    where = ", ".join(settings.kafka)
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=TIMEOUT_MS)
    try:
        await admin.start()
        there = set(await admin.list_topics())
        members = await _members(admin, settings.kafka_group_id)
    except (KafkaError, OSError) as error:
        report.failed(
            KAFKA,
            f"does not answer at {where} ({reason(error)})",
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
        report.ok(KAFKA_TOPICS, f"all {len(TOPICS)} exist")
    _consumer(settings.kafka_group_id, members, report)


async def _members(admin: AIOKafkaAdminClient, group_id: str) -> int:
    """The number of members of a consumer group; 0 for an unknown group."""
    [answer] = await admin.describe_consumer_groups([group_id])
    return sum(len(group["members"]) for group in answer.to_object()["groups"])


def _consumer(group_id: str, members: int, report: CheckReport) -> None:
    if members:
        report.ok(CONSUMER, f"{members} in group {group_id!r}")
        return
    report.failed(
        CONSUMER,
        f"group {group_id!r} has no members: events of other services wait",
        "start `python consumer.py` (`make run` does); see KAFKA_GROUP_ID",
    )
