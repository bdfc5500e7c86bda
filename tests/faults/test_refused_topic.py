"""A topic that the consumer must not read stops no other topic, is reported, and is read once it
may be."""

import asyncio
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from structlog.testing import capture_logs

from adapters.kafka.consumer import EventConsumer
from models.events import CART_ITEM_OUT_OF_STOCK, ORDER_COMPLETED
from models.incoming import ConsumedMessage
from settings import LOCALHOST
from tests.deploy.prometheus import prometheus
from tests.deploy.tools import needs
from tests.faults.partial.faults import KAFKA, SickPart, applied
from tests.faults.rig import FaultRig
from tests.support.waiting import eventually

[REFUSED] = [fault for fault in KAFKA if fault.topic == CART_ITEM_OUT_OF_STOCK]
SECONDS = 30.0


class Recorder:
    """Handles messages by noting the topics of those with its key."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.topics: list[str] = []

    def lane(self, message: ConsumedMessage) -> str:
        return (message.key or b"").decode(errors="replace")

    async def take(self, message: ConsumedMessage) -> None:
        if self.lane(message) == self._key:
            self.topics.append(message.topic)


async def test_a_topic_that_must_not_be_read_stops_no_other(rig: FaultRig) -> None:
    key = uuid4().hex
    recorder, stopping = Recorder(key), asyncio.Event()
    settings = rig.settings.model_copy(update={"kafka_group_id": f"test-{key}"})
    consumer = EventConsumer(settings, [ORDER_COMPLETED, CART_ITEM_OUT_OF_STOCK], recorder)

    async def taken(*topics: str) -> None:
        assert sorted(recorder.topics) == sorted(topics)

    at = f"{LOCALHOST}:{rig.settings.kafka_port}"
    with capture_logs() as logs:
        async with AIOKafkaProducer(bootstrap_servers=at) as producer, asyncio.TaskGroup() as tasks:
            async with applied(rig, REFUSED, SickPart("store", "user")):
                tasks.create_task(consumer.run(stopping))
                await producer.send_and_wait(CART_ITEM_OUT_OF_STOCK, b"{}", key.encode())

                async def refused() -> None:
                    assert "topic_refused" in [line["event"] for line in logs]

                await eventually(refused, timeout=SECONDS)
                await producer.send_and_wait(ORDER_COMPLETED, b"{}", key.encode())
                await eventually(lambda: taken(ORDER_COMPLETED), timeout=SECONDS)
            both = (ORDER_COMPLETED, CART_ITEM_OUT_OF_STOCK)
            await eventually(lambda: taken(*both), timeout=SECONDS)
            stopping.set()
    events = [line["event"] for line in logs]
    assert events.count("topic_refused") == 1
    assert "consumer_rejoins" not in events


@needs("prometheus")
async def test_a_topic_that_must_not_be_read_is_reported_until_it_may_be(
    rig: FaultRig, tmp_path: Path
) -> None:
    """Also without a message that could be read."""
    async with prometheus(rig.settings, tmp_path) as running:
        async with applied(rig, REFUSED, SickPart("store", "user")):
            await running.fires("CartTopicRefused")
        await running.is_over("CartTopicRefused")
