"""Kafka: decoding what a broker returns, so that no bytes stop a consumer.

aiokafka raises at the first batch or record that it cannot decode, without the messages before it,
and again at each fetch. A `message_consumer` reads on instead: `messages` returns a
`ConsumedMessage` with a `flaw` in place of what cannot be decoded. Decompression is bounded
(`adapters.kafka.codecs`).

aiokafka has no hook for this. `_Fetcher` and `_Consumer` run its code with our classes in place of
its own; other consumers are unaffected.
"""

import struct
from collections.abc import Iterator
from dataclasses import replace
from types import FunctionType
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from adapters.kafka.codecs import decompressed
from adapters.kafka.records import ATTRIBUTES, HEADER, split_records
from models.incoming import MAX_EVENT_BYTES, ConsumedMessage, Flaw, Raw

_NO_TIME = -1
MAX_RECORD_BYTES = 2 * MAX_EVENT_BYTES
"""The most that is read of one record. Dead letters are larger than their events."""

# What all formats of a batch begin with: the base offset, the length of the rest, and in it, at
# the same place, the magic number.
_OFFSET = struct.Struct(">q")
_LENGTH = struct.Struct(">i")
_BEFORE_REST = _OFFSET.size + _LENGTH.size
_MAGIC_AT = 16
_LEAST_REST = _MAGIC_AT + 1 - _BEFORE_REST
_V2 = 2
# Formats 0 and 1: the attributes, and where the key begins.
_LEGACY_ATTRIBUTES_AT = 17
_LEGACY_KEY_AT = {0: 18, 1: 26}


def _with(function: Any, **names: object) -> Any:
    """The function with other values for some of its module's names."""
    return FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


class _Batches:
    """The batches of a fetch, in place of aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes | None) -> None:
        self._data = memoryview(data or b"")
        self._behind = 0

    def has_next(self) -> bool:
        """Also for an incomplete batch, at which aiokafka would raise."""
        return bool(self._data)

    def size_in_bytes(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        """The batches one after the other.

        The last batch of a fetch is usually cut off, and is fetched again. A first batch that is
        cut off would be so again.
        """
        position = 0
        while position < len(self._data):
            end = self._end(position)
            if end > len(self._data) and position > 0:
                return
            self._behind = end
            yield bytes(self._data[position:end])
            position = end

    def following_offset(self) -> int | None:
        """The first offset of the batch behind the current one, if an intact batch is there.

        The length of a broken batch may be wrong, too, and what seems to be behind it anything.
        """
        end = self._end(self._behind)
        try:
            data = bytes(self._data[self._behind : end])
            is_batch = end <= len(self._data) and _opened(data).validate_crc()
        except Exception:  # parsers fail in many ways
            return None
        return int(_OFFSET.unpack_from(data)[0]) if is_batch else None

    def _end(self, position: int) -> int:
        if position + _BEFORE_REST > len(self._data):
            return len(self._data) + 1
        (length,) = _LENGTH.unpack_from(self._data, position + _OFFSET.size)
        if length < _LEAST_REST:  # no length, so nothing says where the next batch begins
            return len(self._data)
        return position + _BEFORE_REST + int(length)


class _MessageReader(PartitionRecords):
    """The messages of a fetch from a partition, in place of aiokafka's `PartitionRecords`.

    Each fetch moves `next_fetch_offset` forward, so that nothing is fetched again and again.
    """

    _is_lost = False
    """Whether a broken batch was read, and nothing says where the next one begins."""

    def _unpack_records(self) -> Iterator[ConsumedMessage]:
        before = self.next_fetch_offset
        for data in self._records:
            yield from self._read(data)
            if self._is_lost:  # the next fetch begins at the position
                break
        if self.next_fetch_offset <= before:
            yield self._batch_flaw(b"", before, "the broker returned nothing for this offset")

    def _read(self, data: bytes) -> Iterator[ConsumedMessage]:
        """The messages of a batch."""
        intact = None
        try:
            batch = _opened(data)
            if self._check_crcs and not batch.validate_crc():
                raise ValueError("the checksum is wrong")
            intact = batch
            is_skipped = self._is_skipped(batch)
            plain = data if is_skipped else _plain(data)
            records = iter(() if is_skipped else _opened(plain))
        except Exception as error:  # parsers and codecs fail in many ways
            end = intact.next_offset if intact else self._end_of_broken(data)
            if end > self.next_fetch_offset:
                yield self._batch_flaw(data, end - 1, str(error) or repr(error))
            return
        yield from self._all(records, plain, batch.next_offset)

    def _end_of_broken(self, data: bytes) -> int:
        """The offset behind a batch whose fields may be wrong: rather too low than too high.

        What is too low is fetched again; too high an offset would skip messages.
        """
        least: int = self.next_fetch_offset + 1
        following = self._records.following_offset()
        if following is not None and following >= least:
            return int(following)
        self._is_lost = True
        if len(data) >= HEADER.size:
            fields = HEADER.unpack_from(data)
            base, last_delta, count = fields[0], fields[6], fields[12]
            # As producers write it, so both are probably right. Brokers find batches by the base.
            if last_delta == count - 1:
                return max(least, int(base + count))
        return least

    def _all(self, records: Iterator[Any], plain: bytes, end: int) -> Iterator[ConsumedMessage]:
        """The messages of an uncompressed batch that ends before the offset `end`."""
        while True:
            try:
                record = next(records, None)
                if record is not None and record.offset >= end:
                    raise ValueError(f"offset {record.offset} in a batch up to {end}")
            except Exception as error:  # as above
                yield from self._one_by_one(plain, end, str(error) or repr(error))
                break
            if record is None:
                break
            if record.offset >= self.next_fetch_offset:
                yield self._message(record)
        self.next_fetch_offset = max(self.next_fetch_offset, end)

    def _one_by_one(self, plain: bytes, end: int, why: str) -> Iterator[ConsumedMessage]:
        """The messages of a batch that aiokafka could not read to its end.

        Those behind a record without a readable length are returned as one.
        """
        for record in split_records(plain) if plain[_MAGIC_AT] == _V2 else ():
            if record.offset >= end:
                break
            if record.offset >= self.next_fetch_offset:
                raw: Raw | None = "record" if record.is_raw else None
                code = "undecodable" if record.flaw else None
                yield self._message(record, code, record.flaw or "", raw)
        if self.next_fetch_offset < end:
            yield self._batch_flaw(plain, end - 1, why)

    def _is_skipped(self, batch: Any) -> bool:
        """Whether a batch has no messages for us: a marker, or of an aborted transaction."""
        if self._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)  # type: ignore[no-untyped-call]
            is_abort = batch.is_control_batch and self._contains_abort_marker(batch)  # type: ignore[no-untyped-call]
            if is_abort:
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)

    def _message(
        self, record: Any, code: str | None = None, detail: str = "", raw: Raw | None = None
    ) -> ConsumedMessage:
        self.next_fetch_offset = record.offset + 1
        message = ConsumedMessage(
            topic=self._tp.topic,
            partition=self._tp.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=tuple((name, value or b"") for name, value in record.headers),
            timestamp=_NO_TIME if record.timestamp is None else record.timestamp,
        )
        if code is None and message.size > MAX_RECORD_BYTES:
            code, detail = "too_large", f"{message.size} bytes"
        if code is None:
            return message
        return replace(message, flaw=Flaw(code, detail, record.offset, raw)).bounded()

    def _batch_flaw(self, data: bytes, last_offset: int, why: str) -> ConsumedMessage:
        """Stands for the messages from the position up to `last_offset`."""
        first = self.next_fetch_offset
        if len(data) >= _OFFSET.size:  # offsets before the batch can be without a message
            first = max(first, min(_OFFSET.unpack_from(data)[0], last_offset))
        self.next_fetch_offset = last_offset + 1
        upto = f"offsets {first} to {last_offset}: " if last_offset > first else ""
        return ConsumedMessage(
            topic=self._tp.topic,
            partition=self._tp.partition,
            offset=first,
            key=None,
            value=data,
            headers=(),
            timestamp=_NO_TIME,
            flaw=Flaw("undecodable", f"{upto}{why}", last_offset, "batch"),
        ).bounded()


def _opened(data: bytes) -> Any:
    """aiokafka's reader of a batch, by its format."""
    if len(data) <= _MAGIC_AT:
        raise ValueError(f"a batch of {len(data)} bytes")
    magic = data[_MAGIC_AT]
    if magic > _V2:
        raise ValueError(f"a batch of the unknown format {magic}")
    if magic < _V2:
        return LegacyRecordBatch(data, magic)
    if len(data) < HEADER.size:
        raise ValueError(f"a batch of {len(data)} bytes")
    return DefaultRecordBatch(data)


def _plain(data: bytes) -> bytes:
    """The batch without compression."""
    magic = data[_MAGIC_AT]
    if magic < _V2:
        _check_legacy(data, magic)
        return data
    fields = [*HEADER.unpack_from(data)]
    codec = fields[ATTRIBUTES] & DefaultRecordBatch.CODEC_MASK
    if codec == DefaultRecordBatch.CODEC_NONE:
        return data
    fields[ATTRIBUTES] &= ~DefaultRecordBatch.CODEC_MASK
    return HEADER.pack(*fields) + decompressed(codec, data[HEADER.size :])


def _check_legacy(data: bytes, magic: int) -> None:
    """Raises if a batch of the formats 0 or 1 is too large: aiokafka decompresses all of it."""
    codec = data[_LEGACY_ATTRIBUTES_AT] & LegacyRecordBatch.CODEC_MASK
    if codec:
        position = _LEGACY_KEY_AT[magic]
        (key_length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size + max(key_length, 0)
        decompressed(codec, data[position + _LENGTH.size :])


class _Fetcher(Fetcher):
    """aiokafka's fetcher, with our classes for what is read from a fetch."""

    _proc_fetch_request = _with(
        Fetcher._proc_fetch_request,  # noqa: SLF001
        MemoryRecords=_Batches,
        PartitionRecords=_MessageReader,
    )


class _Consumer(AIOKafkaConsumer):
    start = _with(AIOKafkaConsumer.start, Fetcher=_Fetcher)


def message_consumer(*topics: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer for `messages`."""
    made: Any = _Consumer
    return cast("AIOKafkaConsumer", made(*topics, **options))


async def messages(
    consumer: AIOKafkaConsumer, *partitions: TopicPartition, timeout_ms: int
) -> dict[TopicPartition, list[ConsumedMessage]]:
    """What `getmany` of a `message_consumer` returns, for any bytes in the topics.

    Raises `KafkaError` or `OSError` when Kafka fails.
    """
    found: Any = await consumer.getmany(*partitions, timeout_ms=timeout_ms)
    return dict(found)
