"""Kafka: the brokers, each topic and partition, our consumer group, and the dead letters."""

import asyncio
import time
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from adapters.kafka.cluster import absent_topics, leaderless_partitions
from adapters.kafka.connection import connection_options, topics_of
from adapters.kafka.dead_letters import letters
from cli.doctor import places
from cli.doctor.listeners import listener
from cli.doctor.results import CheckReport, Part
from models.errors import DependencyRefuses, DependencyUnavailable
from models.events import DEAD_LETTERS
from ops.words import reason
from settings import Settings

TIMEOUT_SECONDS = 2.0
SLOW_SECONDS = 0.25
OFFSET_SECONDS = 1.0
SHOWN = 5


async def check_kafka(settings: Settings, report: CheckReport) -> None:
    """A broker answers, every partition has a leader that serves it, and the group has members."""
    place = places.kafka(settings)
    try:
        leaderless = await leaderless_partitions(connection_options(settings), TIMEOUT_SECONDS)
    except DependencyRefuses as error:
        advice = "see KAFKA_SASL_… and KAFKA_OAUTH_…, and the user's permissions (ACLs)"
        report.failed(Part.KAFKA, f"{place.address} refuses us: {error.detail}", advice)
        return
    except DependencyUnavailable as error:
        report.unreachable(Part.KAFKA, place, error)
        return
    await asyncio.gather(
        _check_topics(settings, leaderless, report), _check_group(settings, report)
    )


async def _check_topics(
    settings: Settings, leaderless: Mapping[str, list[int]], report: CheckReport
) -> None:
    topics = topics_of(settings)
    missing = [topic for topic in topics if topic not in leaderless]
    if missing:
        await _report_missing(settings, missing, report)
    without = [f"{topic}/{number}" for topic in topics for number in leaderless.get(topic, ())]
    if without:
        report.failed(
            Part.TOPICS,
            f"no leader: {_some(without)}; its events wait",
            "start the broker that has the partition, or reassign it (kafka-reassign-partitions)",
        )
    silent, read, took = await _read_ends(settings, leaderless)
    where = ", ".join(settings.kafka)
    if read:
        report.answered(Part.KAFKA, where, "a request", took, slow_after=SLOW_SECONDS)
    else:
        report.failed(Part.KAFKA, f"{where}: the end of no partition can be read", "see its log")
    if silent:
        report.failed(
            Part.TOPICS,
            f"the end of {_some(silent)} cannot be read",
            "see the log of the partition's leader: its disk, its permissions (ACLs)",
        )
    if not missing and not without and not silent:
        report.ok(Part.TOPICS, f"all {len(topics)} exist; read the end of {read} partitions")


async def _report_missing(settings: Settings, topics: list[str], report: CheckReport) -> None:
    """Topics that do not exist, and those that this client may not describe."""
    why = await absent_topics(connection_options(settings), topics, TIMEOUT_SECONDS)
    hidden = [one for one in topics if why.get(one) == TopicAuthorizationFailedError.__name__]
    missing = [one for one in topics if one not in hidden]
    if missing:
        report.failed(Part.TOPICS, f"missing: {', '.join(missing)}", "run `cart setup`")
    if hidden:
        report.failed(
            Part.TOPICS,
            f"this client may not describe {', '.join(hidden)}",
            "grant its user what docs/deploy.md lists (kafka-acls --add)",
        )


async def _read_ends(
    settings: Settings, leaderless: Mapping[str, list[int]]
) -> tuple[list[str], int, float]:
    """The partitions with a leader whose end cannot be read; how many ends were read, how fast."""
    topics = [topic for topic in topics_of(settings) if topic in leaderless]
    if not topics:
        return [], 0, float("inf")
    consumer = AIOKafkaConsumer(
        *topics, **connection_options(settings), request_timeout_ms=round(TIMEOUT_SECONDS * 1000)
    )
    silent: list[str] = []
    took = float("inf")
    try:
        await consumer.start()
        wanted = [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(consumer.partitions_for_topic(topic) or ())
            if number not in leaderless.get(topic, ())
        ]

        async def read(partition: TopicPartition) -> bool:
            nonlocal took
            began = time.monotonic()
            try:
                async with asyncio.timeout(OFFSET_SECONDS):
                    await consumer.end_offsets([partition])
            except (KafkaError, TimeoutError):
                silent.append(f"{partition.topic}/{partition.partition}")
                return False
            took = min(took, time.monotonic() - began)
            return True

        successes = await asyncio.gather(*map(read, wanted))
        return sorted(silent), sum(successes), took
    finally:
        await consumer.stop()


async def _check_group(settings: Settings, report: CheckReport) -> None:
    admin = AIOKafkaAdminClient(
        **connection_options(settings), request_timeout_ms=round(TIMEOUT_SECONDS * 1000)
    )
    group = f"group {settings.kafka_group_id!r}"
    try:
        await admin.start()
        [answer] = await admin.describe_consumer_groups([settings.kafka_group_id])
    except (KafkaError, OSError) as error:
        what = f"{group} cannot be read: {reason(error)}"
        report.warn(Part.CONSUMER, what, "see Kafka; its user needs Read on the group")
        return
    finally:
        await admin.close()
    # An unknown group has no members either.
    members = sum(len(described["members"]) for described in answer.to_object()["groups"])
    if members:
        report.ok(Part.CONSUMER, f"{members} in {group}")
        return
    what = f"{group} has no members: events of other services wait"
    here = settings.consumer_metrics_port and listener(settings.consumer_metrics_port)
    if here:
        report.failed(Part.CONSUMER, f"{what}; {here}", here.advice)
    else:
        advice = "start `python consumer.py` (`make run` does); see KAFKA_GROUP_ID"
        report.failed(Part.CONSUMER, what, advice)


async def check_letters(settings: Settings, report: CheckReport) -> None:
    """The dead letters that are neither replayed nor dropped."""
    try:
        found = await letters(settings)
    except (KafkaError, OSError, TimeoutError):
        return  # `check_kafka` reports it
    waiting = [letter for letter in found if letter.resolution is None]
    if not waiting:
        report.ok(Part.LETTERS, "none")
        return
    latest = waiting[-1]
    where = settings.kafka_topic(DEAD_LETTERS)
    report.warn(
        Part.LETTERS,
        f"{len(waiting)} in {where}; the latest, {latest.id}, of {latest.topic}/"
        f"{latest.partition} at {latest.parked_at[:19]}: {latest.error}",
        f"`cart dlq show {latest.id}`; then `cart dlq replay` or `cart dlq drop`",
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
