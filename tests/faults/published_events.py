"""All events that were ever published, from offset 0, across restarts of the broker.

The local stand-in for Kafka loses its data in a restart, so a test reads it before it kills it.
"""

import json
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from adapters.kafka.topics import records
from models.events import DEAD_LETTERS, PUBLISHED
from settings import Settings


@dataclass(frozen=True)
class PublishedEvent:
    """A message as a consumer gets it; `sent_at` is the producer's time in milliseconds."""

    topic: str
    sent_at: int
    key: str
    ce_id: str
    value: dict[str, Any]


class PublishedEvents:
    """Everything that a consumer reads that begins at offset 0."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next: dict[TopicPartition, int] = {}
        self.all: list[PublishedEvent] = []
        self._letters: list[tuple[str, str]] = []

    def of_store(self, store_id: str) -> list[PublishedEvent]:
        return [event for event in self.all if event.value.get("storeId") == store_id]

    def letters_of(self, store_id: str) -> dict[str, set[str]]:
        """Id of each dead letter -> the reasons; the ids begin with the store's id."""
        found: dict[str, set[str]] = {}
        for parked, why in self._letters:
            if parked.startswith(store_id):
                found.setdefault(parked, set()).add(why)
        return found

    def broker_restarted_empty(self) -> None:
        """The broker restarted without data: its offsets begin at 0 again."""
        self._next.clear()

    async def read(self) -> None:
        """Reads up to the present end of the topics."""
        async for record in records(self._settings, *PUBLISHED, DEAD_LETTERS, since=self._next):
            self._take(record)
            self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1

    def _take(self, message: Any) -> None:
        headers = {name: value.decode() for name, value in message.headers}
        if message.topic == DEAD_LETTERS:
            # A dead letter of an oversized event has only the key.
            parked = headers.get("ce_id", (message.key or b"").decode(errors="replace"))
            self._letters.append((parked, headers.get("dlq-error", "")))
            return
        self.all.append(
            PublishedEvent(
                topic=message.topic,
                sent_at=message.timestamp,
                key=(message.key or b"").decode(),
                ce_id=headers.get("ce_id", ""),
                value=json.loads(message.value),
            )
        )
