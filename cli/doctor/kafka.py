"""Kafka: whether a broker answers, has our topics, and has consumers in our group."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.kafka.publisher import connection_options
from cli.doctor.results import CheckReport, Part
from models.events import TOPICS
from settings import Settings

TIMEOUT_MS = 1_500


async def check_kafka(settings: Settings, report: CheckReport) -> None:
    """A broker answers, every topic exists, and our consumer group has members."""
    where = ", ".join(settings.kafka)
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=TIMEOUT_MS)
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
