"""Kafka: what topics have, from a place in each partition to their end now.

For whoever reads them out without being in a group. What is not in here: the consumer of other
services' events (`adapters.kafka.consumer`).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from adapters.kafka.publisher import connection_options
from settings import Settings

STALL_SECONDS = 10.0

Record = ConsumerRecord[bytes | None, bytes | None]


async def records(
    settings: Settings, *topics: str, since: Mapping[TopicPartition, int] | None = None
) -> AsyncIterator[Record]:
    """All records that the topics have now, each partition's in order.

    `since` has the offsets to begin at; a partition that it does not name is read from its
    beginning. Raises `KafkaError` or `OSError`, and `KafkaTimeoutError` when the broker, for
    `STALL_SECONDS`, hands out nothing of what it says it has.
    """
    loop = asyncio.get_running_loop()
    consumer = AIOKafkaConsumer(
        *topics,
        **connection_options(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,  # a partition that has been read to its end is not waited for
    )
    await consumer.start()
    try:
        partitions = consumer.assignment()  # all, since it is in no group
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions) | dict(since or {})
        waiting = {one for one in partitions if ends[one] > begins[one]}
        for one in waiting:
            consumer.seek(one, begins[one])
        deadline = loop.time() + STALL_SECONDS
        while waiting:
            batch = await consumer.getmany(*waiting, timeout_ms=1000)
            for found in batch.values():
                for record in found:
                    yield record
            if batch:
                deadline = loop.time() + STALL_SECONDS
            elif loop.time() > deadline:
                missing = ", ".join(f"{one.topic}/{one.partition}" for one in sorted(waiting))
                raise KafkaTimeoutError(f"the broker does not hand out all of {missing}")
            # By the position, which also moves over what is no message.
            waiting = {one for one in waiting if await consumer.position(one) < ends[one]}
    finally:
        await consumer.stop()
