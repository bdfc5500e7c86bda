"""The publisher on Apache Kafka with the idempotent producer, and on the stand-in."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

import adapters.kafka.publisher
from adapters.kafka.connection import connection_options
from adapters.kafka.publisher import EventPublisher, ping
from cli.setup import PARTITIONS, create_topics
from dev.stack.ports import free_ports
from dev.stack.stack import Stack
from models.effects import EventEffect
from models.errors import DependencyUnavailable, EffectRefused
from models.events import CART_CLEARED, CART_ITEM_ADDED, TOPICS
from settings import Settings
from tests.support.relays import TOO_LARGE
from tests.support.shop import Event, read_events
from tests.support.waiting import eventually

PATIENT_SECONDS = 20.0


def event(
    cart: str, version: int = 1, *, size: int = 0, topic: str = CART_ITEM_ADDED
) -> EventEffect:
    """An event of a cart, made `size` bytes longer."""
    return EventEffect(
        id=str(uuid4()),
        topic=topic,
        key=cart,
        value=json.dumps({"cart": cart, "version": version, "filling": "x" * size}),
        time=datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
    )


async def read(settings: Settings, *carts: str) -> dict[str, list[Event]]:
    """The events of these carts, in the order of their partitions."""
    found = defaultdict(list)
    for one in await read_events(settings):
        if one.key in carts:
            found[one.key].append(one)
    return found


def versions(events: list[Event]) -> list[int]:
    return [one.value["version"] for one in events]


def patient(settings: Settings) -> EventPublisher:
    """A publisher with a long timeout, for a broker on a busy machine."""
    more = {"publish_timeout_seconds": PATIENT_SECONDS}
    return EventPublisher(settings.model_copy(update=more))


@pytest.fixture
async def publisher(kafka: Settings) -> AsyncIterator[EventPublisher]:
    publisher = patient(kafka)
    yield publisher
    await publisher.close()


@pytest.fixture
def cart() -> str:
    return uuid4().hex


async def test_events_arrive_in_order_with_their_headers(
    publisher: EventPublisher, kafka: Settings, cart: str
) -> None:
    sent = [event(cart, version) for version in range(1, 11)]
    await publisher.publish(sent[:4])
    await publisher.publish(sent[4:])
    arrived = (await read(kafka, cart))[cart]
    assert [one.value for one in arrived] == [json.loads(one.value) for one in sent]
    for one, effect in zip(arrived, sent, strict=True):
        assert (one.topic, one.key) == (CART_ITEM_ADDED, cart)
        assert one.headers == {
            "ce_specversion": "1.0",
            "ce_id": effect.id,
            "ce_type": CART_ITEM_ADDED,
            "ce_source": "/cart-service",
            "ce_time": "2026-01-27T10:30:00.000Z",
            "content-type": "application/json",
        }


async def test_each_of_many_carts_keeps_its_order(
    publisher: EventPublisher, kafka: Settings
) -> None:
    carts = [uuid4().hex for _ in range(20)]

    async def publish(cart: str) -> None:
        for version in range(1, 16):
            await publisher.publish([event(cart, version)])

    await asyncio.gather(*(publish(cart) for cart in carts))
    arrived = await read(kafka, *carts)
    assert {cart: versions(arrived[cart]) for cart in carts} == {
        cart: [*range(1, 16)] for cart in carts
    }


async def test_an_oversized_event_is_refused_by_its_id(
    publisher: EventPublisher, kafka: Settings, cart: str
) -> None:
    poison = event(cart, 2, size=TOO_LARGE)
    with pytest.raises(
        EffectRefused, match=r"kafka refuses effect .*MessageSizeTooLarge"
    ) as raised:
        await publisher.publish([event(cart, 1), poison, event(cart, 3)])
    assert raised.value.effect_id == poison.id
    await publisher.publish([event(cart, 4)])  # the circuit breaker stays closed
    assert versions((await read(kafka, cart))[cart]) == [1, 4]


async def test_an_event_that_the_broker_refuses_affects_no_other_event(broker: Stack) -> None:
    """All events go to one partition through one producer; a refusal breaks its sequence."""
    topic = f"small-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(**connection_options(broker.settings))
    await admin.start()
    config = {"max.message.bytes": "50000"}
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=config)])
    await admin.close()
    publisher = patient(broker.settings)
    await publisher.publish([event("warm", topic=topic)])
    poison = [event(f"poison-{n}", size=200_000, topic=topic) for n in range(3)]
    good = [event(f"good-{n}", size=20_000, topic=topic) for n in range(30)]
    mixed = [*poison[:1], *good[:15], *poison[1:], *good[15:]]
    outcomes = await asyncio.gather(
        *(publisher.publish([one]) for one in mixed), return_exceptions=True
    )
    for effect, outcome in zip(mixed, outcomes, strict=True):
        if effect in poison:
            assert isinstance(outcome, EffectRefused)
        else:
            assert outcome is None
    await publisher.close()


async def test_an_event_of_a_missing_topic_is_refused_and_affects_no_other_event(
    broker: Stack, cart: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters.kafka.publisher, "ASK_SECONDS", PATIENT_SECONDS)
    publisher = patient(broker.settings)
    lost = event(cart, 1, topic=f"missing-{uuid4().hex[:8]}")
    refusal = f"kafka refuses effect {lost.id}: no topic {lost.topic}: run `cart setup`"
    with pytest.raises(EffectRefused, match=re.escape(refusal)):
        await publisher.publish([lost])
    await publisher.publish([event(cart, 2)])  # the circuit breaker stays closed
    assert versions((await read(broker.settings, cart))[cart]) == [2]
    await publisher.close()


async def test_a_ping_of_a_running_broker_succeeds(kafka: Settings) -> None:
    await ping(kafka)


async def test_a_ping_without_a_broker_raises(settings: Settings) -> None:
    nowhere = Settings(kafka_port=free_ports()["KAFKA_PORT"])
    with pytest.raises(DependencyUnavailable, match="kafka is unavailable"):
        await ping(nowhere)


async def test_missing_topics_are_created(broker: Stack) -> None:
    """A broker learns of new topics a moment after the controller."""
    admin = AIOKafkaAdminClient(**connection_options(broker.settings))
    await admin.start()

    async def gone() -> None:
        assert CART_CLEARED not in await admin.list_topics()

    async def created() -> None:
        described = {
            topic["topic"]: topic["partitions"] for topic in await admin.describe_topics([*TOPICS])
        }
        assert set(described) == set(TOPICS)
        for partitions in described.values():
            assert len(partitions) == PARTITIONS
            assert all(partition["replicas"] == [1] for partition in partitions)

    try:
        await admin.delete_topics([CART_CLEARED])
        await eventually(gone)
        for _ in range(2):
            await create_topics(broker.settings)
        await eventually(created)
    finally:
        await admin.close()
