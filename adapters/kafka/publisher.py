"""Kafka: publishing events. All waits are bounded. A lost answer means "not published".

The producer is replaced after a failure: Kafka would refuse all later messages of a producer with
an unknown sequence number (`OutOfOrderSequenceNumber`), and a message that an old producer still
buffers must not arrive late. Other calls on a replaced producer continue with the new one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownProducerId,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import murmur2

from adapters.breaker import CircuitBreaker
from adapters.kafka.cluster import leaderless_partitions
from adapters.kafka.connection import connection_options
from models.effects import EventEffect
from models.errors import CartServiceError, DependencyUnavailable, EffectRefused
from models.events import cloud_event_headers
from settings import Settings
from telemetry import tracing
from telemetry.metrics import NOT_PUBLISHED, PUBLISHED

logger = structlog.stdlib.get_logger(__name__)

CONNECT_SECONDS = 2.0
ASK_SECONDS = 0.5
CLOSE_SECONDS = 3.0
CLEANUP_SECONDS = 0.5
REQUEST_SECONDS = 5.0
"""A request that is under way is waited for, for so long."""
FAILING_PARTITIONS = 3
LATEST_CALLS = 6

# Errors that are about one message, not about Kafka.
_REFUSALS = (
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
# The producer is unusable, usually because another message failed on it. It is known which messages
# were not published, so they can be sent again.
_PRODUCER_LOST = (
    InvalidProducerEpoch,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send. `id` identifies it in `EffectRefused`; `timestamp` is in milliseconds.

    `topic` is without `KAFKA_TOPIC_PREFIX`.
    """

    id: str
    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp: int | None = None
    traceparent: str | None = None  # of the operation that produced it, if it was traced


async def ping(settings: Settings, *, timeout: float = CONNECT_SECONDS) -> None:
    """Raises `DependencyUnavailable` unless a broker answers with its metadata."""
    await leaderless_partitions(connection_options(settings), timeout)


class EventPublisher:
    """Publishes events, acknowledged by all in-sync replicas."""

    def __init__(self, settings: Settings) -> None:
        self._connection = connection_options(settings)
        self._settings = settings
        self._options = self._connection | {
            "acks": "all",
            "enable_idempotence": settings.kafka_idempotent_producer,
            "linger_ms": 0,
            "request_timeout_ms": round(REQUEST_SECONDS * 1000),
            "retry_backoff_ms": 50,
        }
        self._timeout = settings.publish_timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, list[int]] = {}  # by topic, also while there is no producer
        self._starting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        # A failing partition costs one timeout a second; the relay has its events.
        self.breaker = CircuitBreaker(
            "kafka",
            call="publish",
            failures=FAILING_PARTITIONS,
            cooldown_seconds=1.0,
            window=LATEST_CALLS,
            subject_failures=1,
        )

    async def warm_up(self) -> None:
        """Connects before the first event. Does not raise when Kafka is unavailable."""
        try:
            async with self.breaker.guard():
                await self._started()
        except DependencyUnavailable:
            return  # the circuit breaker has logged it; the next event tries again

    async def close(self) -> None:
        """Closes all producers; waits at most `CLOSE_SECONDS`, and a moment for what that fails."""
        self._retire(self._producer)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_SECONDS + CLEANUP_SECONDS)

    async def publish(self, events: Sequence[EventEffect], *, bypass_breaker: bool = False) -> None:
        """Publishes events in this order; returns when Kafka has acknowledged all.

        Each goes to its own topic, and to `KAFKA_COMBINED_TOPIC` if that is set. Raises
        `EffectRefused` when Kafka refuses one of them, and `DependencyUnavailable` when it
        does not answer, or while the circuit is open unless `bypass_breaker` is set.
        """
        combined = self._settings.kafka_combined_topic
        topics = [(event, topic) for event in events for topic in (event.topic, combined) if topic]
        outgoing = [_outgoing(event, topic) for event, topic in topics]
        try:
            await self.send(outgoing, bypass_breaker=bypass_breaker)
        except CartServiceError as error:
            reason = "refused" if isinstance(error, EffectRefused) else "unavailable"
            for event in events:
                NOT_PUBLISHED.add(1, {"topic": event.topic, "error": reason})
            raise
        for event in events:
            PUBLISHED.add(1, {"topic": event.topic})
            logger.info(
                "event_published",
                message="Event published",
                topic=event.topic,
                eventId=event.id,
                cartId=event.key,
            )

    async def send(self, messages: Sequence[Outgoing], *, bypass_breaker: bool = False) -> None:
        """As `publish`, for messages of any kind. Counts and logs nothing.

        For the circuit, the partition of the first one is what the call is about.
        """
        topic, key = messages[0].topic, messages[0].key
        subject = f"{topic}/{self.partition(topic, key)}"
        async with self.breaker.guard(subject, bypass_breaker=bypass_breaker):
            try:
                async with asyncio.timeout(self._timeout):
                    while not await self._send(messages):
                        continue
            except (KafkaError, OSError, TimeoutError) as error:
                if isinstance(error, TimeoutError | UnknownTopicOrPartitionError):
                    await self._refuse_without_topic(messages)
                raise DependencyUnavailable("kafka", repr(error)) from error

    def partition(self, topic: str, key: bytes | None) -> int | None:
        """The partition of messages with this key; None before the first one of the topic."""
        if self._producer is not None:
            name = self._settings.kafka_topic(topic)
            found = self._producer.client.cluster.partitions_for_topic(name)
            if found:
                self._partitions[topic] = sorted(found)
        partitions = self._partitions.get(topic)
        if key is None or partitions is None:
            return None
        index: int = (murmur2(key) & 0x7FFFFFFF) % len(partitions)
        return partitions[index]

    async def _refuse_without_topic(self, messages: Sequence[Outgoing]) -> None:
        """Raises `EffectRefused` for the first message whose topic does not exist.

        The producer only times out, as it does without Kafka, so this reads the topics.
        """
        try:
            topics = await leaderless_partitions(self._connection, ASK_SECONDS)
        except DependencyUnavailable:
            return
        for message in messages:
            name = self._settings.kafka_topic(message.topic)
            if name not in topics:
                raise EffectRefused(message.id, "kafka", f"no topic {name}: run `cart setup`")

    async def _send(self, messages: Sequence[Outgoing]) -> bool:
        """Sends all messages; False when the producer was lost and the next one may succeed."""
        producer = await self._started()
        try:
            for message in messages:
                try:
                    await _deliver(producer, message, self._settings.kafka_topic(message.topic))
                except _REFUSALS as error:
                    raise EffectRefused(message.id, "kafka", repr(error)) from error
        except _PRODUCER_LOST:
            self._retire(producer)
            return False
        except BaseException:  # a refused or cancelled message has used its sequence number, too
            self._retire(producer)
            raise
        else:
            return True

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._options)
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await producer.start()
                except (KafkaError, OSError, TimeoutError) as error:
                    self._close(producer)
                    raise DependencyUnavailable("kafka", repr(error)) from error
                except BaseException:
                    self._close(producer)
                    raise
                self._producer = producer
            return self._producer

    def _retire(self, producer: AIOKafkaProducer | None) -> None:
        """Closes the producer, unless it was replaced already."""
        if producer is not None and producer is self._producer:
            self._producer = None
            self._close(producer)

    def _close(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stop(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _deliver(producer: AIOKafkaProducer, message: Outgoing, topic: str) -> None:
    """Sends a message; returns when Kafka has acknowledged it."""
    with tracing.sending(message.topic, message.traceparent) as headers:
        delivery = await producer.send(
            topic,
            value=message.value,
            key=message.key,
            headers=[*message.headers, *headers],
            timestamp_ms=message.timestamp,
        )
        await delivery


def _outgoing(event: EventEffect, topic: str) -> Outgoing:
    return Outgoing(
        id=event.id,
        topic=topic,
        key=event.key.encode(),
        value=event.value.encode(),
        headers=cloud_event_headers(event),
        traceparent=event.traceparent,
    )


async def _stop(producer: AIOKafkaProducer) -> None:
    """Ends a producer and its tasks; what it still buffers has `CLOSE_SECONDS` to arrive.

    After this time its messages are failed, because `stop` waits until all are acknowledged, and
    without an acknowledgement the tasks of the producer would send them for ever.
    """
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait({stopping}, timeout=CLOSE_SECONDS)
    if not stopping.done():
        accumulator: Any = producer._message_accumulator  # noqa: SLF001 (no public way)
        accumulator.fail_all(ProducerClosed())
    try:
        async with asyncio.timeout(REQUEST_SECONDS + CLOSE_SECONDS):
            await stopping
    except (KafkaError, OSError, TimeoutError) as error:
        logger.debug(
            "producer_not_stopped",
            message="The Kafka producer did not stop cleanly",
            reason=repr(error),
        )
