"""Kafka: publishing events. Everything that waits is bounded; a lost answer means "not published".

The producer is made anew after a failure: a batch whose sequence is in doubt would be refused for
ever (`OutOfOrderSequenceNumber`), and what an old producer still holds must not arrive late.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from adapters.breaker import CircuitBreaker
from models.errors import DependencyUnavailable
from models.events import cloud_event_headers
from models.messages import EventEffect
from settings import Settings

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
CLOSE_SECONDS = 3.0


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
    client = AIOKafkaClient(
        **connection_options(settings), request_timeout_ms=round(timeout * 1000)
    )
    try:
        async with asyncio.timeout(timeout):
            await client.bootstrap()
    except (KafkaError, OSError, TimeoutError) as error:
        raise DependencyUnavailable("kafka", repr(error)) from error
    finally:
        await client.close()


class EventPublisher:
    """Publishes events with acks from all replicas."""

    def __init__(self, settings: Settings) -> None:
        self._options = connection_options(settings) | {
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
        self._breaker = CircuitBreaker("kafka", failures=1, cooldown_seconds=1.0)

    async def warm_up(self) -> None:
        """Connects ahead of the first event, when a broker is there."""
        try:
            async with self._breaker.guard():
                await self._started()
        except DependencyUnavailable:
            return  # the breaker has said so; the next event tries again

    async def close(self) -> None:
        """Ends the producer; waits for those that are ending, each for a bounded time."""
        self._retire()
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)

    async def publish(self, events: Sequence[EventEffect]) -> None:
        """Publishes in this order; raises `DependencyUnavailable` unless all were acknowledged."""
        async with self._breaker.guard():
            try:
                async with asyncio.timeout(self._timeout):
                    producer = await self._started()
                    for event in events:
                        delivery = await producer.send(
                            event.topic,
                            value=event.value.encode(),
                            key=event.key.encode(),
                            headers=cloud_event_headers(event),
                        )
                        await delivery
            except (KafkaError, OSError, TimeoutError) as error:
                self._retire()
                raise DependencyUnavailable("kafka", repr(error)) from error

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

    def _retire(self) -> None:
        if self._producer is not None:
            self._end(self._producer)
            self._producer = None

    def _end(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stop(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await producer.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        logger.debug("Kafka producer did not stop cleanly: %r", error)
