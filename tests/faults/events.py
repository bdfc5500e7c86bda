"""All events ever delivered, from offset 0 of every partition, over the broker's restarts.

The stand-in for Kafka keeps nothing over a restart, so whoever kills it reads it out first.
"""

import json
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from adapters.kafka.topics import records
from models.events import DEAD_LETTERS, PUBLISHED
from settings import Settings


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
        async for record in records(self._settings, *PUBLISHED, DEAD_LETTERS, since=self._next):
            self._take(record)
            self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1

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
