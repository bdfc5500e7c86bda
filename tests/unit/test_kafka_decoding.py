"""Decoding of fetched bytes: each message is found or has a flaw, and reading always goes on."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.kafka import codecs
from adapters.kafka.decoding import MAX_RECORD_BYTES, _Batches, _MessageReader
from models.incoming import SAMPLE_BYTES, ConsumedMessage
from tests.support.raw_batches import A_TIME, CODECS, RawRecord, batch, body_of, with_wrong_crc

ONE, TWO, THREE = RawRecord(b"one", b"k"), RawRecord(b"two", b"k"), RawRecord(b"three")
LATIN_1 = RawRecord(b"odd", b"k", [("café".encode("latin-1"), b"x"), (b"trace", None)])


def read(
    data: bytes, offset: int = 0, aborted: Sequence[tuple[int, int]] = ()
) -> tuple[list[ConsumedMessage], int]:
    """The messages of a fetch, and the offset of the next fetch."""
    made: Any = _MessageReader
    reader = made(
        *(TopicPartition("topic", 0), _Batches(data), aborted, offset),
        *(None, None, True, READ_COMMITTED),
    )
    return [*reader], reader.next_fetch_offset


def values(found: list[ConsumedMessage]) -> list[bytes | None]:
    return [message.value for message in found if message.flaw is None]


def flaws(found: list[ConsumedMessage]) -> list[tuple[int, int, str | None]]:
    """First and last offset and kind of what could not be decoded."""
    return [(one.offset, one.flaw.last_offset, one.flaw.raw) for one in found if one.flaw]


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_each_codec_is_read(codec: str | None) -> None:
    found, after = read(batch(ONE, TWO, base=7, codec=codec) + batch(THREE, base=9), 7)
    assert values(found) == [b"one", b"two", b"three"]
    assert [(one.offset, one.key, one.timestamp) for one in found] == [
        (7, b"k", A_TIME),
        (8, b"k", A_TIME),
        (9, None, A_TIME),
    ]
    assert after == 10


def test_key_value_and_header_can_be_missing() -> None:
    [one] = read(batch(RawRecord(None, None, [(b"name", None)])))[0]
    assert (one.key, one.value, one.headers, one.flaw) == (None, None, (("name", b""),), None)


def test_a_batch_is_read_from_the_middle() -> None:
    for odd in (TWO, LATIN_1):
        found, after = read(batch(ONE, odd, THREE, base=7, codec="zstd"), 9)
        assert (values(found), flaws(found), after) == ([b"three"], [], 10)


def test_a_header_name_in_latin_1_is_escaped_and_others_of_its_batch_are_read() -> None:
    found, after = read(batch(ONE, LATIN_1, THREE, base=7, codec="gzip"), 7)
    assert (values(found), flaws(found), after) == ([b"one", b"three"], [(8, 8, None)], 10)
    odd = found[1]
    assert (odd.key, odd.value) == (b"k", b"odd")
    assert odd.headers == (("caf\\xe9", b"x"), ("trace", b""))
    assert odd.flaw is not None
    assert odd.flaw.code == "undecodable"
    assert "not UTF-8" in odd.flaw.detail


def test_a_broken_record_is_returned_as_bytes_and_others_of_its_batch_are_read() -> None:
    parts = [record.encoded(index) for index, record in enumerate((ONE, TWO, THREE))]
    broken = parts[1][:1] + b"\xff" * (len(parts[1]) - 1)
    found, after = read(batch(ONE, TWO, THREE, body=parts[0] + broken + parts[2]))
    assert (values(found), flaws(found), after) == ([b"one", b"three"], [(1, 1, "record")], 3)
    assert found[1].value == broken[1:]


def test_records_behind_one_of_unknown_length_are_returned_as_one() -> None:
    body = ONE.encoded(0) + b"\xff" * 40
    found, after = read(batch(ONE, TWO, THREE, body=body) + batch(ONE, base=3))
    assert (values(found), flaws(found)) == ([b"one", b"one"], [(1, 2, "batch")])
    assert after == 4


UNREADABLE = {
    "a wrong checksum": with_wrong_crc(batch(ONE, TWO, base=7)),
    "an unknown codec": batch(ONE, TWO, base=7, attributes=5),
    "broken gzip": batch(ONE, TWO, base=7, attributes=1),
    "broken snappy": batch(ONE, TWO, base=7, attributes=2),
    "broken lz4": batch(ONE, TWO, base=7, attributes=3),
    "broken zstd": batch(ONE, TWO, base=7, attributes=4),
    "an unknown format": batch(ONE, TWO, base=7, magic=3),
    "a format without its fields": batch(ONE, TWO, base=7, magic=1),
    "too many bytes": batch(ONE, TWO, base=7, codec="gzip", body=bytes(codecs.MAX_BATCH_BYTES + 1)),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_batch_is_returned_as_one_with_its_bytes(name: str) -> None:
    data = UNREADABLE[name]
    found, after = read(batch(ONE, base=6) + data + batch(THREE, base=9), 6)
    assert (values(found), flaws(found), after) == (
        [b"one", b"three"],
        [(7, 8, "batch")],
        10,
    )
    assert (found[1].value, found[1].next_offset) == (data, 9)


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_batch_at_the_end_is_left_without_skipping_what_follows(name: str) -> None:
    """Where the fields of the batch may be wrong, the next fetch begins rather too early."""
    _, after = read(UNREADABLE[name], 7)
    assert after in {8, 9}


@pytest.mark.parametrize("codec", CODECS)
def test_decompression_is_bounded(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "MAX_BATCH_BYTES", 1_000_000)
    for size, read_as in ((900_000, "too_large"), (1_000_000, "undecodable")):
        [found], _ = read(batch(RawRecord(bytes(size)), codec=codec))
        assert found.flaw is not None
        assert found.flaw.code == read_as


def test_of_a_large_message_a_sample_is_kept() -> None:
    found, _ = read(batch(ONE, RawRecord(bytes(MAX_RECORD_BYTES), b"k"), THREE))
    assert values(found) == [b"one", b"three"]
    assert found[1].flaw is not None
    assert (found[1].flaw.code, found[1].key) == ("too_large", b"k")
    assert (found[1].size, len(found[1].value or b"")) == (MAX_RECORD_BYTES + 1, SAMPLE_BYTES)


def test_a_batch_that_is_cut_off_is_left_for_the_next_fetch_unless_it_is_the_first() -> None:
    cut = batch(ONE, TWO, base=8)[:-3]
    found, after = read(batch(ONE, base=7) + cut, 7)
    assert (values(found), flaws(found), after) == ([b"one"], [], 8)
    found, after = read(cut, 8)
    assert (flaws(found), after) == ([(8, 9, "batch")], 10)
    for size in (1, 12, 17, 40):
        found, after = read(cut[:size], 8)
        assert (flaws(found), after) == ([(8, 8, "batch")], 9)


@pytest.mark.parametrize("length", [0, 5, 40, 100, 2**31 - 1, -(2**31)])
def test_a_wrong_length_skips_no_message(length: int) -> None:
    """What is behind the wrong length is no batch, so the next fetch begins at the next offset."""
    broken = batch(ONE, TWO, base=7, length=length)
    data = broken + batch(THREE, base=9) + batch(ONE, base=10)
    found, after = read(data, 7)
    assert values(found) == []
    assert flaws(found) == [(7, after - 1, "batch")]
    assert after in {8, 9}


def test_offsets_without_a_message_are_not_part_of_what_is_unreadable() -> None:
    for data in UNREADABLE.values():
        found, _ = read(data + batch(THREE, base=9), 4)
        assert flaws(found) == [(7, 8, "batch")]


def test_markers_and_aborted_transactions_are_passed() -> None:
    transactional, marker = 0x10, 0x30
    data = b"".join(
        (
            batch(ONE, base=0, attributes=transactional, producer=5),
            batch(TWO, base=1, attributes=transactional, producer=6),
            batch(RawRecord(None, struct.pack(">hh", 0, 0)), base=2, attributes=marker, producer=5),
            batch(THREE, base=3, attributes=transactional, producer=5),
            batch(RawRecord(None, struct.pack(">hh", 0, 1)), base=4, attributes=marker, producer=6),
        )
    )
    found, after = read(data, aborted=[(5, 0)])
    assert (values(found), flaws(found), after) == ([b"two", b"three"], [], 5)


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1, 2])
def test_the_formats_before_kafka_0_11_are_read(magic: Any, codec: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, codec, 100_000)
    for index in range(3):
        builder.append(index, A_TIME, b"k", b"v" * 50)
    data = bytes(builder.build())
    if codec:  # the broker gives a compressed batch the offset of its last record
        data = struct.pack(">q", 2) + data[8:]
    found, _ = read(data)
    assert values(found) == [b"v" * 50] * 3
    assert {one.timestamp for one in found} == {A_TIME if magic else -1}


def test_a_broken_batch_of_an_old_format_is_passed() -> None:
    builder = LegacyRecordBatchBuilder(1, 1, 100_000)
    builder.append(0, A_TIME, b"k", b"v" * 500)
    data = bytearray(builder.build())
    data[60] ^= 0xFF
    found, after = read(bytes(data) + batch(ONE, base=1))
    assert (values(found), flaws(found), after) == ([b"one"], [(0, 0, "batch")], 2)


def _damaged(draw: Any) -> bytes:
    codec = draw(st.sampled_from([None, *CODECS]))
    data = bytearray(batch(ONE, LATIN_1, TWO, base=7, codec=codec) + batch(THREE, base=10))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@given(st.one_of(st.composite(_damaged)(), st.binary(max_size=200)))
@settings(max_examples=500, deadline=None)
def test_whatever_the_bytes_are_reading_goes_on(data: bytes) -> None:
    found, after = read(data, 7)
    assert after > 7
    offsets = [one.offset for one in found]
    assert offsets == sorted(set(offsets))
    assert all(7 <= one.offset < one.next_offset <= after for one in found)


def test_a_record_count_that_is_wrong_loses_no_message() -> None:
    for count in (1, 2, 9):
        found, after = read(batch(ONE, TWO, THREE, count=count))
        assert (values(found), flaws(found), after) == ([b"one", b"two", b"three"], [], 3)


def test_an_offset_outside_of_the_batch_skips_nothing() -> None:
    body = body_of(ONE) + TWO.encoded(1000)
    found, after = read(batch(ONE, TWO, base=7, body=body) + batch(THREE, base=9), 7)
    assert (values(found), flaws(found), after) == ([b"one", b"three"], [(8, 8, "batch")], 10)
