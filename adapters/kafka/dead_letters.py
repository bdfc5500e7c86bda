"""Kafka: the dead letter topic `cart.dlq`, for messages that cannot be processed.

A letter has the key, value and headers of its message, and headers with the prefix `dlq-`:

    dlq-topic, dlq-partition, dlq-offset, dlq-timestamp    the message
    dlq-error (a stable code), dlq-detail (text)           why it was parked
    dlq-time                                               when it was parked
    dlq-raw, dlq-last-offset                               only if it could not be decoded

With `dlq-raw`, the value is the bytes of a batch or record as Kafka stores them, and the letter
stands for all messages up to `dlq-last-offset`.

A second message records that a letter was replayed or dropped; `dlq-resolves` is the letter's id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from adapters.kafka.publisher import EventPublisher, Outgoing
from adapters.kafka.topics import records
from models.errors import EventUnusable
from models.events import DEAD_LETTERS
from models.incoming import MAX_EVENT_BYTES, ConsumedMessage
from models.wire import timestamp
from settings import Settings

PREFIX = "dlq-"

Resolution = Literal["replayed", "dropped"]


@dataclass(frozen=True, slots=True)
class Letter:
    """A parked message. `id` is its partition and offset, `size` the original's size in bytes.

    `raw` is set if the message could not be decoded; `value` then is what the broker returned.
    """

    id: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    error: str
    detail: str
    parked_at: str
    size: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    raw: str | None = None
    resolution: Resolution | None = None
    resolved_at: str | None = None
    resolved_because: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the letter has the whole message, decoded, so that it can be replayed."""
        return self.size <= MAX_EVENT_BYTES and self.raw is None


class DeadLetters:
    """Writes to `cart.dlq`. Raises `DependencyUnavailable` when Kafka is unavailable."""

    def __init__(self, publisher: EventPublisher) -> None:
        self._publisher = publisher

    async def park(self, message: ConsumedMessage, why: EventUnusable) -> None:
        """Parks a message; returns when Kafka has acknowledged the letter."""
        kept = message.bounded()
        about: dict[str, object] = {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "timestamp": message.timestamp,
            "size": message.size,
            "error": why.code,
            "detail": why.detail[:1000],
            "time": timestamp(datetime.now(UTC)),
        }
        if message.flaw is not None and message.flaw.raw is not None:
            about |= {"raw": message.flaw.raw, "last-offset": message.flaw.last_offset}
        await self._publisher.send(
            [
                Outgoing(
                    id=f"{message.topic}/{message.partition}/{message.offset}",
                    topic=DEAD_LETTERS,
                    key=kept.key,
                    value=kept.value or b"",
                    headers=[*_without_ours(kept.headers), *_headers(about)],
                )
            ]
        )

    async def replay(self, letter: Letter) -> None:
        """Sends the message again, unchanged, and records the replay.

        The timestamp is kept because it identifies an event without an id: so two replays have one
        effect.
        """
        message = Outgoing(
            id=letter.id,
            topic=letter.topic,
            key=letter.key,
            value=letter.value,
            headers=letter.headers,
            timestamp=letter.timestamp if letter.timestamp >= 0 else None,
        )
        await self._publisher.send([message])
        await self._resolve(letter, "replayed", "")

    async def drop(self, letter: Letter, reason: str) -> None:
        """Records that the letter was dropped, and why."""
        await self._resolve(letter, "dropped", reason)

    async def _resolve(self, letter: Letter, resolution: Resolution, reason: str) -> None:
        about = {
            "resolves": letter.id,
            "resolution": resolution,
            "reason": reason,
            "time": timestamp(datetime.now(UTC)),
        }
        note = Outgoing(
            id=letter.id,
            topic=DEAD_LETTERS,
            key=letter.id.encode(),
            value=b"",
            headers=_headers(about),
        )
        await self._publisher.send([note])


async def letters(settings: Settings) -> list[Letter]:
    """All letters in the topic with their resolutions, oldest first.

    Raises `KafkaError` or `OSError`.
    """
    found: dict[str, Letter] = {}
    notes: dict[str, dict[str, str]] = {}
    async for record in records(settings, DEAD_LETTERS):
        about = _about(record)
        if "resolves" in about:
            notes[about["resolves"]] = about
        elif "error" in about:
            letter = _letter(record, about)
            found[letter.id] = letter
    ordered = sorted(found.values(), key=lambda letter: letter.parked_at)
    return [_resolved(letter, notes.get(letter.id)) for letter in ordered]


def _without_ours(headers: Iterable[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """Removes `dlq-` headers that a message brought along: only this module sets them."""
    return tuple(header for header in headers if not header[0].startswith(PREFIX))


def _headers(about: Mapping[str, object]) -> list[tuple[str, bytes]]:
    return [(f"{PREFIX}{name}", str(value).encode()) for name, value in about.items()]


def _about(record: ConsumedMessage) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX): value.decode(errors="replace")
        for name, value in record.headers
        if name.startswith(PREFIX)
    }


def _letter(record: ConsumedMessage, about: dict[str, str]) -> Letter:
    return Letter(
        id=f"{record.partition}-{record.offset}",
        topic=about["topic"],
        partition=int(about["partition"]),
        offset=int(about["offset"]),
        timestamp=int(about["timestamp"]),
        error=about["error"],
        detail=about["detail"],
        parked_at=about["time"],
        size=int(about["size"]),
        key=record.key,
        value=record.value or b"",
        headers=_without_ours(record.headers),
        raw=about.get("raw"),
    )


def _resolved(letter: Letter, note: dict[str, str] | None) -> Letter:
    if note is None:
        return letter
    resolution: Resolution = "replayed" if note["resolution"] == "replayed" else "dropped"
    return replace(
        letter,
        resolution=resolution,
        resolved_at=note["time"],
        resolved_because=note["reason"] or None,
    )
