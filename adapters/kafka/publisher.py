"""Kafka: publishing events. Everything that waits is bounded; a lost answer means "not published".

The producer is made anew after a failure: a batch whose sequence is in doubt would be refused for
ever (`OutOfOrderSequenceNumber`), and what an old producer still holds must not arrive late. Who
loses its producer by another's failure goes on with the new one.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
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

from adapters.breaker import CircuitBreaker
from models.errors import CartServiceError, DependencyUnavailable, EffectRefused
from models.events import cloud_event_headers
from models.messages import EventEffect
from settings import Settings
from telemetry import tracing
from telemetry.metrics import NOT_PUBLISHED, PUBLISHED

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
ASK_SECONDS = 0.5
CLOSE_SECONDS = 3.0

# Kafka's answers that are about the one message, not about Kafka.
_REFUSALS = (
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
# The producer is of no use any more, mostly because another message failed on it. None of these
# leaves a message in doubt.
_PRODUCER_LOST = (
    InvalidProducerEpoch,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send; `id` names it when it is refused, `timestamp` is in milliseconds."""

    id: str
    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp: int | None = None
    traceparent: str | None = None  # of the operation that made it, if that was traced


def connection_options(settings: Settings) -> dict[str, Any]:
    """How every Kafka client of this service connects."""
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.kafka),
        "client_id": settings.kafka_client_id,
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL"):
        password = settings.kafka_sasl_password
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    if protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context()
    return options


async def ping(settings: Settings, *, timeout: float = CONNECT_SECONDS) -> None:
    """Raises `DependencyUnavailable` unless a broker answers with its metadata."""
    await _topics(connection_options(settings), timeout)


async def _topics(connection: dict[str, Any], timeout: float) -> set[str]:
    """The topics that a broker has now."""
    client = AIOKafkaClient(**connection, request_timeout_ms=round(timeout * 1000))
    try:
        async with asyncio.timeout(timeout):
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
            return set(cluster.topics())
    except (KafkaError, OSError, TimeoutError) as error:
        raise DependencyUnavailable("kafka", repr(error)) from error
    finally:
        await client.close()


class EventPublisher:
    """Publishes events with acks from all replicas."""

    def __init__(self, settings: Settings) -> None:
        self._connection = connection_options(settings)
        self._options = self._connection | {
            "acks": "all",
            "enable_idempotence": settings.kafka_idempotent_producer,
            "linger_ms": 0,
            "request_timeout_ms": 5_000,
            "retry_backoff_ms": 50,
        }
        self._timeout = settings.publish_timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._breaker = CircuitBreaker("kafka", call="publish", failures=1, cooldown_seconds=1.0)

    async def warm_up(self) -> None:
        """Connects ahead of the first event, when a broker is there."""
        try:
            async with self._breaker.guard():
                await self._started()
        except DependencyUnavailable:
            return  # the breaker has said so; the next event tries again

    async def close(self) -> None:
        """Ends the producer; waits for those that are ending, each for a bounded time."""
        self._retire(self._producer)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)

    async def publish(self, events: Sequence[EventEffect], *, anyway: bool = False) -> None:
        """Publishes in this order; returns only when all were acknowledged.

        `anyway` also while the circuit is open. Raises `EffectRefused` when Kafka does not take one
        of them, else `DependencyUnavailable`.
        """
        try:
            await self.send([_outgoing(event) for event in events], anyway=anyway)
        except CartServiceError as error:
            why = "refused" if isinstance(error, EffectRefused) else "unavailable"
            for event in events:
                NOT_PUBLISHED.add(1, {"topic": event.topic, "error": why})
            raise
        for event in events:
            PUBLISHED.add(1, {"topic": event.topic})
            about = {"event": "event_published", "topic": event.topic, "eventId": event.id}
            logger.info("Event published", extra={**about, "cartId": event.key})

    async def send(self, messages: Sequence[Outgoing], *, anyway: bool = False) -> None:
        """The same for messages of any kind."""
        async with self._breaker.guard(anyway=anyway):
            try:
                async with asyncio.timeout(self._timeout):
                    while not await self._send(messages):
                        continue
            except (KafkaError, OSError, TimeoutError) as error:
                if isinstance(error, TimeoutError | UnknownTopicOrPartitionError):
                    await self._refuse_without_topic(messages)
                raise DependencyUnavailable("kafka", repr(error)) from error

    async def _refuse_without_topic(self, messages: Sequence[Outgoing]) -> None:
        """Raises `EffectRefused` for the first message whose topic does not exist.

        A producer waits for such a topic as it does for Kafka itself, so Kafka is asked.
        """
        try:
            topics = await _topics(self._connection, ASK_SECONDS)
        except DependencyUnavailable:
            return
        for message in messages:
            if message.topic not in topics:
                raise EffectRefused(
                    message.id, "kafka", f"no topic {message.topic}: run `cart setup`"
                )

    async def _send(self, messages: Sequence[Outgoing]) -> bool:
        """False when the producer was of no use any more: the next one may be."""
        producer = await self._started()
        try:
            for message in messages:
                try:
                    await _deliver(producer, message)
                except _REFUSALS as error:
                    raise EffectRefused(message.id, "kafka", repr(error)) from error
        except _PRODUCER_LOST:
            self._retire(producer)
            return False
        except BaseException:  # also a refused or cancelled message has used up its sequence number
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
                    self._end(producer)
                    raise DependencyUnavailable("kafka", repr(error)) from error
                except BaseException:
                    self._end(producer)
                    raise
                self._producer = producer
            return self._producer

    def _retire(self, producer: AIOKafkaProducer | None) -> None:
        """Ends this producer, unless somebody else has; never the one that came after it."""
        if producer is not None and producer is self._producer:
            self._producer = None
            self._end(producer)

    def _end(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stop(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _deliver(producer: AIOKafkaProducer, message: Outgoing) -> None:
    """Returns when the message is acknowledged."""
    with tracing.sending(message.topic, message.traceparent) as headers:
        delivery = await producer.send(
            message.topic,
            value=message.value,
            key=message.key,
            headers=[*message.headers, *headers],
            timestamp_ms=message.timestamp,
        )
        await delivery


def _outgoing(event: EventEffect) -> Outgoing:
    return Outgoing(
        id=event.id,
        topic=event.topic,
        key=event.key.encode(),
        value=event.value.encode(),
        headers=cloud_event_headers(event),
        traceparent=event.traceparent,
    )


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await producer.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        logger.debug("Kafka producer did not stop cleanly: %r", error)
