"""Bytes that cannot be decoded, on Apache Kafka and on the stand-in: the consumer goes on.

Apache Kafka refuses most of them, so they are written into its files. The stand-in stores all but
the unknown codec.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from adapters.kafka.connection import connection_options
from dev.stack.stack import Stack
from models.events import INVENTORY_BACK_IN_STOCK
from models.incoming import ConsumedMessage
from settings import Settings
from tests.kafka.test_consumer import Group
from tests.support.events import other_services
from tests.support.raw_batches import (
    CODECS,
    LATIN_1,
    RawRecord,
    batch,
    overwrite,
    produce,
    with_attributes,
    with_magic,
    with_wrong_crc,
)
from tests.support.waiting import eventually

TOPIC = INVENTORY_BACK_IN_STOCK
STORED = {
    "a header name in Latin-1": batch(RawRecord(b"{}", b"key", LATIN_1)),
    "a header name in Latin-1 behind zstd": batch(RawRecord(b"{}", None, LATIN_1), codec="zstd"),
    "150 MB behind gzip": batch(RawRecord(bytes(150_000_000)), codec="gzip"),
    "7 MB behind gzip": batch(RawRecord(bytes(7_000_000)), codec="gzip"),
}
"""What every broker stores."""
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a wrong checksum": with_wrong_crc,
    "an unknown codec": lambda data: with_attributes(data, 5),
    "broken gzip": lambda data: with_attributes(data, 1),
    "broken lz4": lambda data: with_attributes(data, 3),
    "an unknown format": lambda data: with_magic(data, 3),
}
"""What a broker has in its files only if they are damaged."""


@dataclass
class Notes:
    """An intake that records all messages of a partition."""

    taken: dict[int, ConsumedMessage] = field(default_factory=dict)

    def lane(self, message: ConsumedMessage) -> str:
        return str(message.offset)

    async def take(self, message: ConsumedMessage) -> None:
        if (message.topic, message.partition) == (TOPIC, 0):
            self.taken[message.offset] = message

    async def has(self, offset: int, value: bytes | None) -> None:
        """Waits for a message without a flaw."""

        async def taken() -> None:
            assert offset in self.taken, sorted(self.taken)
            assert (self.taken[offset].value, self.taken[offset].flaw) == (value, None)

        await eventually(taken, timeout=30)


async def send(settings: Settings, value: bytes) -> int:
    return await produce(settings.kafka_port, TOPIC, 0, batch(RawRecord(value, b"key")))


async def test_each_codec_and_a_missing_key_or_value_is_read(kafka: Settings) -> None:
    notes = Notes()
    async with other_services(kafka) as others, Group(kafka, others).member(notes):
        for codec in CODECS:
            data = batch(RawRecord(b"first"), RawRecord(codec.encode()), codec=codec)
            offset = await produce(kafka.kafka_port, TOPIC, 0, data)
            await notes.has(offset + 1, codec.encode())
        offset = await produce(kafka.kafka_port, TOPIC, 0, batch(RawRecord(None, None)))
        await notes.has(offset, None)


@pytest.mark.parametrize("name", STORED)
async def test_the_message_behind_an_undecodable_one_is_handled(kafka: Settings, name: str) -> None:
    notes = Notes()
    async with other_services(kafka) as others, Group(kafka, others).member(notes):
        bad = await produce(kafka.kafka_port, TOPIC, 0, STORED[name])
        await notes.has(await send(kafka, b"behind"), b"behind")
        assert notes.taken[bad].flaw is not None


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "an unknown codec"])
async def test_the_message_behind_damaged_bytes_is_handled(
    stack: Stack, production: bool, name: str
) -> None:
    if production:
        pytest.skip("Apache Kafka refuses them")
    kafka, notes = stack.settings, Notes()
    async with other_services(kafka) as others, Group(kafka, others).member(notes):
        records = (RawRecord(b"one"), RawRecord(b"two"))
        bad = await produce(kafka.kafka_port, TOPIC, 0, CHANGES[name](batch(*records)))
        await notes.has(await send(kafka, b"behind"), b"behind")
        assert notes.taken[bad].flaw is not None


@pytest.mark.parametrize("name", CHANGES)
async def test_the_message_behind_damaged_files_is_handled(broker: Stack, name: str) -> None:
    kafka, notes = broker.settings, Notes()
    data = batch(RawRecord(uuid4().bytes), RawRecord(b"two"))
    bad = await produce(kafka.kafka_port, TOPIC, 0, data)
    behind = await send(kafka, b"behind")
    overwrite(kafka.local_dir, data, CHANGES[name])
    async with other_services(kafka) as others, Group(kafka, others).member(notes):
        await notes.has(behind, b"behind")
        assert notes.taken[bad].flaw is not None
        assert notes.taken[bad].next_offset == behind


async def test_a_partition_that_ends_with_damaged_bytes_is_read_on(broker: Stack) -> None:
    """The consumer has nothing behind the bytes that says where the next message begins."""
    kafka, notes = broker.settings, Notes()
    data = batch(RawRecord(uuid4().bytes), RawRecord(b"two"))
    bad = await produce(kafka.kafka_port, TOPIC, 0, data)
    overwrite(kafka.local_dir, data, with_wrong_crc)
    async with other_services(kafka) as others, Group(kafka, others).member(notes):

        async def passed() -> None:
            assert notes.taken[bad].flaw is not None

        await eventually(passed, timeout=30)
        await notes.has(await send(kafka, b"behind"), b"behind")


async def test_messages_of_an_aborted_transaction_are_not_read(broker: Stack) -> None:
    kafka, notes = broker.settings, Notes()
    async with other_services(kafka) as others, Group(kafka, others).member(notes):
        producer = AIOKafkaProducer(
            **connection_options(kafka), transactional_id=f"test-{uuid4().hex}"
        )
        async with producer:
            await producer.begin_transaction()
            sent = await producer.send_and_wait(TOPIC, b"aborted", partition=0)
            await producer.abort_transaction()
            await producer.begin_transaction()
            kept = await producer.send_and_wait(TOPIC, b"kept", partition=0)
            await producer.commit_transaction()
        await notes.has(kept.offset, b"kept")
        assert sent.offset not in notes.taken
        await notes.has(await send(kafka, b"behind"), b"behind")


async def test_an_undecodable_batch_is_committed_as_a_whole(kafka: Settings) -> None:
    notes, again = Notes(), Notes()
    async with other_services(kafka) as others:
        group = Group(kafka, others)
        bad = await produce(kafka.kafka_port, TOPIC, 0, STORED["150 MB behind gzip"])
        async with group.member(notes):

            async def passed() -> None:
                assert bad in notes.taken

            await eventually(passed, timeout=30)
        async with group.member(again):
            behind = await send(kafka, b"behind")
            await again.has(behind, b"behind")
        assert min(again.taken) == behind
