"""Kafka: reading topics up to their current end, without a consumer group."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, KafkaTimeoutError

from adapters.kafka.connection import connection_options
from adapters.kafka.decoding import message_consumer, messages
from models.incoming import ConsumedMessage
from settings import Settings

STALL_SECONDS = 10.0
_RETENTION = "retention.ms"


async def records(
    settings: Settings, *topics: str, since: Mapping[TopicPartition, int] | None = None
) -> AsyncIterator[ConsumedMessage]:
    """All messages of the topics up to their current end, in the order of each partition.

    Their names are without `KAFKA_TOPIC_PREFIX`. What cannot be decoded is left out.

    `since` has the offsets to begin at; a partition without one is read from its beginning. Raises
    `KafkaError` or `OSError`, and `KafkaTimeoutError` when the broker returns none of the remaining
    messages for `STALL_SECONDS`.
    """
    loop = asyncio.get_running_loop()
    consumer = message_consumer(
        *map(settings.kafka_topic, topics),
        **connection_options(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,  # do not wait for new records
    )
    try:
        await consumer.start()
        partitions = consumer.assignment()  # all partitions: the consumer has no group
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions) | dict(since or {})
        waiting = {one for one in partitions if ends[one] > begins[one]}
        for one in waiting:
            consumer.seek(one, begins[one])
        deadline = loop.time() + STALL_SECONDS
        while waiting:
            batch = await messages(consumer, *waiting, timeout_ms=1000)
            for found in batch.values():
                for message in found:
                    if message.flaw is None:
                        yield replace(message, topic=settings.without_prefix(message.topic))
            if batch:
                deadline = loop.time() + STALL_SECONDS
            elif loop.time() > deadline:
                missing = ", ".join(f"{one.topic}/{one.partition}" for one in sorted(waiting))
                raise KafkaTimeoutError(f"the broker does not return all records of {missing}")
            # By position, which also passes over entries that are no records.
            waiting = {one for one in waiting if await consumer.position(one) < ends[one]}
    finally:
        await consumer.stop()


async def retention(settings: Settings, topic: str) -> timedelta | None:
    """How long the messages of a topic are kept at least; None if that is for ever or not known.

    Its name is without `KAFKA_TOPIC_PREFIX`.
    """
    admin = AIOKafkaAdminClient(
        **connection_options(settings), request_timeout_ms=round(STALL_SECONDS * 1000)
    )
    name = settings.kafka_topic(topic)
    wanted = ConfigResource(ConfigResourceType.TOPIC, name, configs={_RETENTION: None})
    try:
        await admin.start()
        [answer] = await admin.describe_configs([wanted])
        [resource] = answer.to_object()["resources"]
    except (KafkaError, OSError, ValueError):  # a broker that does not have this request
        return None
    finally:
        await admin.close()
    values = {one["config_names"]: one["config_value"] for one in resource["config_entries"]}
    milliseconds = int(values.get(_RETENTION) or -1)
    return timedelta(milliseconds=milliseconds) if milliseconds >= 0 else None
