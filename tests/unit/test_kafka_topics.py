"""Reading topics to their end: what is returned, what is left out, and how long Kafka keeps it."""

from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from adapters.kafka import topics
from models.events import DEAD_LETTERS
from models.incoming import ConsumedMessage, Flaw
from settings import Settings

SETTINGS = Settings(kafka_topic_prefix="eu.")
PLACE = TopicPartition("eu.cart.dlq", 0)


class FakeConsumer:
    """Partition 0 of a topic, from which entries before `begin` have been deleted."""

    def __init__(self, *values: bytes | Flaw, begin: int = 0, end: int | None = None) -> None:
        self.entries = list(values)
        self.begin, self.end = begin, len(values) if end is None else end
        self.at = 0
        self.names: tuple[str, ...] = ()
        self.stopped = False

    async def start(self) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    async def end_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {PLACE: self.end}

    async def beginning_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {PLACE: self.begin}

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    async def position(self, _: TopicPartition) -> int:
        return self.at

    async def stop(self) -> None:
        self.stopped = True

    async def messages(
        self, *places: TopicPartition, timeout_ms: int
    ) -> Mapping[TopicPartition, list[ConsumedMessage]]:
        """One entry at a time; none once they are over."""
        assert timeout_ms
        if self.at >= len(self.entries):
            return {}
        entry, offset = self.entries[self.at], self.at
        self.at += 1
        flaw, value = (entry, None) if isinstance(entry, Flaw) else (None, entry)
        message = ConsumedMessage(places[0].topic, 0, offset, None, value, (), 0, flaw)
        return {places[0]: [message]}


class FakeAdmin:
    """A broker with these settings of its topic `eu.cart.dlq`."""

    def __init__(self, entries: dict[str, str | None]) -> None:
        self.entries = entries
        self.fails: Exception | None = None
        self.is_closed = False

    async def start(self) -> None: ...

    async def describe_configs(self, wanted: list[ConfigResource]) -> list[SimpleNamespace]:
        if self.fails is not None:
            raise self.fails
        [resource] = wanted
        entries = self.entries if resource.name == "eu.cart.dlq" else {}
        found = [{"config_names": name, "config_value": v} for name, v in entries.items()]
        return [SimpleNamespace(to_object=lambda: {"resources": [{"config_entries": found}]})]

    async def close(self) -> None:
        self.is_closed = True


async def read(monkeypatch: pytest.MonkeyPatch, consumer: FakeConsumer) -> list[ConsumedMessage]:
    def opened(*names: str, **_: Any) -> FakeConsumer:
        consumer.names = names
        return consumer

    monkeypatch.setattr(topics, "message_consumer", opened)
    monkeypatch.setattr(topics, "messages", FakeConsumer.messages)
    return [one async for one in topics.records(SETTINGS, DEAD_LETTERS)]


async def test_a_topic_is_read_to_its_end_by_its_name_in_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = FakeConsumer(b"a", b"b", b"later", end=2)
    found = await read(monkeypatch, consumer)
    assert [(one.topic, one.value) for one in found] == [("cart.dlq", b"a"), ("cart.dlq", b"b")]
    assert (consumer.names, consumer.stopped) == (("eu.cart.dlq",), True)


async def test_what_cannot_be_decoded_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    flaw = Flaw(code="undecodable", detail="snappy", last_offset=0)
    assert [one.offset for one in await read(monkeypatch, FakeConsumer(flaw, b"b"))] == [1]


async def test_reading_begins_after_what_kafka_has_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.offset for one in await read(monkeypatch, FakeConsumer(b"a", b"b", begin=1))] == [1]
    assert await read(monkeypatch, FakeConsumer(b"a", begin=1)) == []


async def test_a_broker_that_returns_no_more_is_named_with_the_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "STALL_SECONDS", -1)
    consumer = FakeConsumer(b"a", end=2)
    with pytest.raises(KafkaTimeoutError, match=r"all records of eu\.cart\.dlq/0"):
        await read(monkeypatch, consumer)
    assert consumer.stopped


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        ({"retention.ms": "604800000", "cleanup.policy": "delete"}, timedelta(days=7)),
        ({"retention.ms": "-1"}, None),
        ({"retention.ms": None}, None),
        ({}, None),
    ],
)
async def test_a_topics_retention_is_that_of_its_name_in_kafka(
    entries: dict[str, str | None], kept: timedelta | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = FakeAdmin(entries)
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", lambda **_: admin)
    assert await topics.retention(SETTINGS, DEAD_LETTERS) == kept
    assert admin.is_closed


async def test_without_an_answer_the_retention_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin = FakeAdmin({})
    admin.fails = KafkaConnectionError("no broker")
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", lambda **_: admin)
    assert await topics.retention(SETTINGS, DEAD_LETTERS) is None
    assert admin.is_closed
