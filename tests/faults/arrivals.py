"""What other services send: each event until it is acknowledged, and kept as their broker would.

The stand-in for Kafka keeps nothing over a restart. Whoever kills it holds `lock`, so that nobody
sends meanwhile, and sends everything `again` when it is back, as if the broker had kept it; it has
also forgotten that some of it was read.
"""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka.publisher import EventPublisher, Outgoing, connection_options
from cli.provision import PARTITIONS
from models.errors import DependencyUnavailable
from models.incoming import CONSUMED
from settings import Settings

_PAUSE_SECONDS = 0.1


class Arrivals:
    """Events on their way to the consumer, one after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._publisher = EventPublisher(settings)
        self._kept: list[Outgoing] = []
        self.lock = asyncio.Lock()

    async def close(self) -> None:
        await self._publisher.close()

    async def send(self, message: Outgoing) -> None:
        """Returns when the broker has it; it may have it more than once."""
        async with self.lock:
            await self._insist(message)
            self._kept.append(message)

    async def again(self) -> None:
        """To a broker that has forgotten all; the caller holds `lock`."""
        for message in self._kept:
            await self._insist(message)

    def forget(self) -> None:
        """What was sent so far is of no interest any more."""
        self._kept.clear()

    async def unread(self) -> int:
        """How many messages the consumer's group has not committed."""
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

    async def _insist(self, message: Outgoing) -> None:
        while True:
            try:
                await self._publisher.send([message], anyway=True)
            except DependencyUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return
