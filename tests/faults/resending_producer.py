"""A producer for the events of other services, which can send them again to an empty broker.

The local stand-in for Kafka loses its data in a restart. A test that kills it holds `lock`, so that
nothing is sent meanwhile, and calls `resend_all` after the start, as if the broker had kept the
events. The stand-in has then also lost the committed offsets.
"""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka.connection import connection_options
from adapters.kafka.publisher import EventPublisher, Outgoing
from cli.setup import PARTITIONS
from models.errors import DependencyUnavailable
from models.incoming import CONSUMED
from settings import Settings

_PAUSE_SECONDS = 0.1


class ResendingProducer:
    """Sends events one after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._publisher = EventPublisher(settings)
        self._acknowledged: list[Outgoing] = []
        self.lock = asyncio.Lock()

    async def close(self) -> None:
        await self._publisher.close()

    async def send(self, message: Outgoing) -> None:
        """Returns when the broker has acknowledged it; the topic may have it more than once."""
        async with self.lock:
            await self._send_until_acknowledged(message)
            self._acknowledged.append(message)

    async def resend_all(self) -> None:
        """Sends everything to an empty broker; the caller holds `lock`."""
        for message in self._acknowledged:
            await self._send_until_acknowledged(message)

    def forget_sent(self) -> None:
        """Forgets what was sent so far: `resend_all` does not send it."""
        self._acknowledged.clear()

    async def unread_count(self) -> int:
        """The number of messages that the consumer's group has not committed."""
        consumer = AIOKafkaConsumer(
            **connection_options(self._settings),
            group_id=self._settings.kafka_group_id,
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(t, n) for t in CONSUMED for n in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            done = [await consumer.committed(partition) or 0 for partition in partitions]
            return int(sum(ends.values()) - sum(done))
        finally:
            await consumer.stop()

    async def _send_until_acknowledged(self, message: Outgoing) -> None:
        while True:
            try:
                await self._publisher.send([message], bypass_breaker=True)
            except DependencyUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return
