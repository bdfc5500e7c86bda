"""The events that the service has published lately, read from Kafka when the page asks."""

import asyncio
import json
import time
from collections import deque
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from adapters.kafka.topics import records
from models.cart import CartKey
from models.events import PUBLISHED
from settings import Settings

KEPT = 500
SHOWN = 20
READ_EVERY = 0.7
READ_SECONDS = 3.0


class PublishedEvents:
    """The latest events of all carts, at most `KEPT`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._next: dict[TopicPartition, int] = {}
        self._reading = asyncio.Lock()
        self._read_at = 0.0

    async def of(self, cart: CartKey) -> list[dict[str, Any]]:
        """The latest events of a cart, the latest first. Those before while Kafka is away."""
        if not self._reading.locked() and time.monotonic() - self._read_at > READ_EVERY:
            async with self._reading:
                await self._read()
                self._read_at = time.monotonic()
        ours = [
            event
            for event in self._events
            if (event["value"].get("storeId"), event["value"].get("userId")) == cart
        ]
        return sorted(ours, key=lambda event: event["at"], reverse=True)[:SHOWN]

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                async for message in records(self._settings, *PUBLISHED, since=self._next):
                    partition = TopicPartition(
                        self._settings.kafka_topic(message.topic), message.partition
                    )
                    self._next[partition] = message.offset + 1
                    self._keep(message.topic, message.value)
        except (KafkaError, OSError, TimeoutError):
            return

    def _keep(self, topic: str, value: bytes | None) -> None:
        try:
            found = json.loads(value or b"")
        except ValueError:
            return
        if isinstance(found, dict):
            at = str(found.get("timestamp", ""))
            self._events.append({"topic": topic, "at": at, "value": found})
