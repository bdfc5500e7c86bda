"""Kafka: whether a broker answers, and whether it has our topics."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.events import connection_options
from cli.console import reason
from cli.doctor.findings import Report, start_or_check
from models.events import TOPICS
from settings import Settings

KAFKA = "Kafka"
KAFKA_TOPICS = "Kafka topics"
TIMEOUT_MS = 1_500


async def check_kafka(settings: Settings, report: Report) -> None:
    """A broker gives its metadata, and every topic is in it."""
    where = ", ".join(settings.kafka)
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=TIMEOUT_MS)
    try:
        await admin.start()
        there = set(await admin.list_topics())
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


def _why(error: Exception) -> str:
    text = reason(error)
    if "Unable to bootstrap" in text or "KafkaConnectionError" in text:
        return "no broker can be reached"
    return text
