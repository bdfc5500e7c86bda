"""Kafka: topics that the broker does not let the consumer read, while it reads the others."""

import time

import structlog

from telemetry.metrics import TOPIC_REFUSED

logger = structlog.stdlib.get_logger(__name__)

REFUSED_SECONDS = 5.0
"""After so long a topic that must not be read is tried again."""
TRIED_SECONDS = 5.0
"""A topic that is not refused again in this time may be read, also without messages."""


class RefusedTopics:
    """The refused topics, and when each is tried again."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._until

    def __len__(self) -> int:
        return len(self._until)

    def add(self, topic: str) -> None:
        """Notes a refusal; the first one of a topic is logged."""
        if topic not in self._until:
            logger.warning(
                "topic_refused",
                message=f"Kafka does not let the consumer read {topic}; other topics go on",
                topic=topic,
            )
        self._until[topic] = time.monotonic() + REFUSED_SECONDS
        TOPIC_REFUSED.set(1, {"topic": topic})

    def is_due(self, topic: str) -> bool:
        """Whether a refused topic is to be tried again now."""
        now = time.monotonic()
        return self._until.get(topic, now) < now

    def discard(self, topic: str) -> None:
        """Notes that a topic may be read."""
        if self._until.pop(topic, None) is not None:
            TOPIC_REFUSED.forget({"topic": topic})

    def discard_accepted(self) -> None:
        """Discards the topics that were tried again and not refused."""
        now = time.monotonic()
        for topic in [one for one, until in self._until.items() if now > until + TRIED_SECONDS]:
            self.discard(topic)

    def clear(self) -> None:
        for topic in [*self._until]:
            self.discard(topic)
