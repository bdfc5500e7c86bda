"""All events ever delivered, from offset 0 of every partition, over the broker's restarts.

The stand-in for Kafka keeps nothing over a restart, so whoever kills it reads it out first.
"""

import json
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.events import connection_options
from models.events import DEAD_LETTERS, PUBLISHED
from settings import Settings

_FETCH_MS = 500


@dataclass(frozen=True)
class Delivered:
    """One message, as a consumer got it; `sent_at` is its producer's time, in milliseconds."""

    topic: str
    sent_at: int
    key: str
    ce_id: str
    value: dict[str, Any]


class EventLog:
    """What a consumer has seen that began at offset 0 and missed nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next: dict[TopicPartition, int] = {}
        self.all: list[Delivered] = []
        self._letters: list[tuple[str, str]] = []

    def of_store(self, store_id: str) -> list[Delivered]:
        return [event for event in self.all if event.value.get("storeId") == store_id]

    def letters_of(self, store_id: str) -> dict[str, set[str]]:
        """Ids of the events that were parked, and why; they begin with the store's id."""
        found: dict[str, set[str]] = {}
        for parked, why in self._letters:
            if parked.startswith(store_id):
                found.setdefault(parked, set()).add(why)
        return found

    def broker_is_new(self) -> None:
        """The broker came back empty: its offsets begin at 0 again."""
        self._next.clear()

    async def read(self) -> None:
        """Reads on, up to what is there now."""
        consumer = AIOKafkaConsumer(
            *PUBLISHED,
            DEAD_LETTERS,
            **connection_options(self._settings),
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        await consumer.start()
        try:
            partitions = consumer.assignment()  # all, since it is in no group
            ends = await consumer.end_offsets(partitions)
            for partition in partitions:
                consumer.seek(partition, self._at(partition))
            waiting = {
                partition for partition in partitions if ends[partition] > self._at(partition)
            }
            while waiting:
                batch = await consumer.getmany(*waiting, timeout_ms=_FETCH_MS)
                for partition, messages in batch.items():
                    for message in messages:
                        self._take(message)
                        self._next[partition] = message.offset + 1
                waiting = {p for p in waiting if self._at(p) < ends[p]}
        finally:
            await consumer.stop()

    def _at(self, partition: TopicPartition) -> int:
        return self._next.get(partition, 0)

    def _take(self, message: Any) -> None:
        headers = {name: value.decode() for name, value in message.headers}
        if message.topic == DEAD_LETTERS:
            # Of what is too large only the key is kept.
            parked = headers.get("ce_id", (message.key or b"").decode(errors="replace"))
            self._letters.append((parked, headers.get("dlq-error", "")))
            return
        self.all.append(
            Delivered(
                topic=message.topic,
                sent_at=message.timestamp,
                key=(message.key or b"").decode(),
                ce_id=headers.get("ce_id", ""),
                value=json.loads(message.value),
            )
        )
