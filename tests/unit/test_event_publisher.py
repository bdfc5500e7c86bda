"""Publishing: what is one event's fault and what is Kafka's, and that no message arrives late."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    UnknownTopicOrPartitionError,
)

from adapters.kafka import publisher
from adapters.kafka.publisher import EventPublisher, Outgoing
from models.effects import EventEffect
from models.errors import DependencyUnavailable, EffectRefused
from settings import Settings

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


def event(id_: str, topic: str = "cart.item.added") -> EventEffect:
    return EventEffect(id=id_, topic=topic, key="cart-1", value=f'{{"id":"{id_}"}}', time=NOW)


class FakeKafka:
    """A broker. `fails` has the errors of messages by their value, each raised once."""

    def __init__(self) -> None:
        self.topics = {"cart.item.added", "cart.all"}
        self.got: list[tuple[str, bytes]] = []
        self.fails: dict[bytes, list[Exception]] = {}
        self.refuses: Exception | None = None  # connections
        self.asked: Exception | None = None  # for its topics
        self.producers: list[FakeProducer] = []

    def producer(self, **_: Any) -> "FakeProducer":
        self.producers.append(FakeProducer(self))
        return self.producers[-1]

    async def leaderless(self, *_: Any) -> dict[str, list[int]]:
        if self.asked is not None:
            raise self.asked
        return {topic: [] for topic in self.topics}

    @property
    def open(self) -> int:
        return sum(not one.stopped for one in self.producers)


class FakeProducer:
    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self.stopped = False
        self.client = self.cluster = self

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0, 1, 2}

    async def start(self) -> None:
        if self._kafka.refuses is not None:
            raise self._kafka.refuses

    async def stop(self) -> None:
        self.stopped = True

    async def send(
        self, topic: str, *, value: bytes, key: bytes, headers: list[Any], timestamp_ms: int | None
    ) -> "asyncio.Future[None]":
        assert key
        assert timestamp_ms is None
        assert ("ce_specversion", b"1.0") in headers
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        errors = self._kafka.fails.get(value)
        if errors:
            delivery.set_exception(errors.pop(0))
        else:
            self._kafka.got.append((topic, value))
            delivery.set_result(None)
        return delivery


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka()
    monkeypatch.setattr(publisher, "AIOKafkaProducer", kafka.producer)
    monkeypatch.setattr(publisher, "leaderless_partitions", kafka.leaderless)
    return kafka


def value(id_: str) -> bytes:
    return event(id_).value.encode()


async def test_events_are_published_in_order_by_one_producer(kafka: FakeKafka) -> None:
    events = EventPublisher(Settings())
    await events.publish([event("e-1"), event("e-2")])
    await events.publish([event("e-3")])
    assert kafka.got == [("cart.item.added", value(one)) for one in ("e-1", "e-2", "e-3")]
    assert len(kafka.producers) == 1
    await events.close()
    assert kafka.open == 0


async def test_events_go_to_the_combined_topic_too_under_their_prefix(kafka: FakeKafka) -> None:
    settings = Settings(kafka_combined_topic="cart.all", kafka_topic_prefix="eu.")
    await EventPublisher(settings).publish([event("e-1")])
    assert [topic for topic, _ in kafka.got] == ["eu.cart.item.added", "eu.cart.all"]


@pytest.mark.parametrize("error", [OutOfOrderSequenceNumber(), ProducerClosed()])
async def test_a_lost_producer_is_replaced_and_the_events_are_sent_again(
    error: Exception, kafka: FakeKafka
) -> None:
    """Those that had arrived have the same ids, so a consumer counts them once."""
    events = EventPublisher(Settings())
    kafka.fails = {value("e-2"): [error]}
    await events.publish([event("e-1"), event("e-2")])
    assert [sent for _, sent in kafka.got] == [value("e-1"), value("e-1"), value("e-2")]
    await events.close()
    assert (len(kafka.producers), kafka.open) == (2, 0)


async def test_an_event_that_kafka_refuses_is_named_and_the_next_one_has_a_new_producer(
    kafka: FakeKafka,
) -> None:
    events = EventPublisher(Settings())
    kafka.fails = {value("e-2"): [MessageSizeTooLargeError()]}
    with pytest.raises(EffectRefused, match="kafka refuses effect e-2: MessageSizeTooLarge"):
        await events.publish([event("e-1"), event("e-2"), event("e-3")])
    await events.publish([event("e-4")])
    assert [sent for _, sent in kafka.got] == [value("e-1"), value("e-4")]
    assert len(kafka.producers) == 2  # the refused one has used a sequence number


async def test_refusals_do_not_open_the_circuit(kafka: FakeKafka) -> None:
    events = EventPublisher(Settings())
    kafka.fails = {value("e-1"): [MessageSizeTooLargeError() for _ in range(20)]}
    for _ in range(20):
        with pytest.raises(EffectRefused):
            await events.publish([event("e-1")])
    await events.publish([event("e-2")])


def missing(kafka: FakeKafka) -> None:
    kafka.topics = {"cart.all"}


def away(kafka: FakeKafka) -> None:
    kafka.asked = DependencyUnavailable("kafka", "no broker answers")


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (missing, EffectRefused, "no topic cart.item.added: run `cart setup`"),
        (away, DependencyUnavailable, "kafka is unavailable: UnknownTopicOrPartitionError"),
        (
            lambda _: None,
            DependencyUnavailable,
            "kafka is unavailable: UnknownTopicOrPartitionError",
        ),
    ],
    ids=["no such topic", "Kafka is away", "the topic is there"],
)
async def test_an_unknown_topic_is_the_events_fault_only_if_it_does_not_exist(
    change: Callable[[FakeKafka], None], error: type[Exception], text: str, kafka: FakeKafka
) -> None:
    change(kafka)
    kafka.fails = {value("e-1"): [UnknownTopicOrPartitionError()]}
    with pytest.raises(error) as failed:
        await EventPublisher(Settings()).publish([event("e-1")])
    assert text in str(failed.value)


async def test_a_message_that_kafka_does_not_acknowledge_in_time_is_an_outage(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any, **__: Any) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(FakeProducer, "send", never)
    events = EventPublisher(Settings(publish_timeout_seconds=0.1))
    with pytest.raises(DependencyUnavailable, match="TimeoutError"):
        await events.publish([event("e-1")])
    await events.close()
    assert kafka.open == 0  # it may not send the message later


async def test_without_a_broker_each_publish_says_so_until_there_is_one(kafka: FakeKafka) -> None:
    events = EventPublisher(Settings())
    kafka.refuses = KafkaConnectionError("no broker")
    await events.warm_up()  # does not fail the start of the process
    with pytest.raises(DependencyUnavailable, match="no broker"):
        await events.publish([event("e-1")], bypass_breaker=True)
    kafka.refuses = None
    await events.publish([event("e-1")], bypass_breaker=True)
    await events.close()
    assert (len(kafka.got), kafka.open) == (1, 0)


async def test_a_key_has_one_partition_also_while_there_is_no_producer(kafka: FakeKafka) -> None:
    """Java's clients choose the same one. The key and its hash are from Kafka's own tests."""
    events, key = EventPublisher(Settings()), b"a-little-bit-long-string"
    partition = (-985981536 & 0x7FFFFFFF) % 3
    assert events.partition("cart.item.added", key) is None
    await events.publish([event("e-1")])
    assert events.partition("cart.item.added", key) == partition
    assert events.partition("cart.item.added", None) is None
    await events.close()
    assert events.partition("cart.item.added", key) == partition
    assert kafka.open == 0


async def test_messages_of_any_kind_keep_their_headers_and_name(kafka: FakeKafka) -> None:
    headers = [("ce_specversion", b"1.0"), ("dlq-error", b"invalid_json")]
    message = Outgoing("0/7", "cart.dlq", b"0/7", b"{", headers)
    await EventPublisher(Settings()).send([message])
    assert kafka.got == [("cart.dlq", b"{")]
