"""Kafka: reading the records of one batch each by itself, for a batch that aiokafka cannot read.

The format is magic 2 of https://kafka.apache.org/documentation/#messageformat. aiokafka decodes the
names of headers as UTF-8, and cannot go on after a record that fails.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

HEADER = struct.Struct(">qiibIhiqqqhii")
"""Of a batch: base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first
and last timestamp, producer id and epoch, base sequence, number of records."""
ATTRIBUTES = 5
_LOG_APPEND_TIME = 8  # a bit of them


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """A record; `flaw` says why it cannot be used as it is.

    A name of a header that is not UTF-8 has escapes (`caf\\\\xe9`) for the other bytes. Without a
    readable content, `value` is the record's bytes and `is_raw` is set.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    flaw: str | None = None
    is_raw: bool = False


def split_records(batch: bytes) -> Iterator[SplitRecord]:
    """The records of an uncompressed batch, as far as their lengths can be read."""
    fields = HEADER.unpack_from(batch)
    base, attributes, first, latest = fields[0], fields[ATTRIBUTES], fields[7], fields[8]
    cursor = _Cursor(batch, HEADER.size)
    index = 0
    while cursor.has_more:
        try:
            data = cursor.bytes_of_length() or b""
        except ValueError:
            return
        try:
            record = _read(data, base, first)
        except ValueError as error:
            # Producers number the records of a batch one by one.
            record = SplitRecord(base + index, first, None, data, (), str(error), is_raw=True)
        if attributes & _LOG_APPEND_TIME:
            record = replace(record, timestamp=latest)
        yield record
        index += 1


def _read(data: bytes, base: int, first: int) -> SplitRecord:
    cursor = _Cursor(data, 1)  # one byte of attributes, which Kafka does not use
    timestamp = first + cursor.varint()
    offset = base + cursor.varint()
    key, value = cursor.bytes_of_length(), cursor.bytes_of_length()
    names: list[bytes] = []
    contents: list[bytes | None] = []
    for _ in range(cursor.varint()):
        names.append(cursor.bytes_of_length() or b"")
        contents.append(cursor.bytes_of_length())
    if cursor.has_more:
        raise ValueError("more bytes than the record's fields have")
    odd = next((name for name in names if not _is_utf8(name)), None)
    return SplitRecord(
        offset,
        timestamp,
        key,
        value,
        tuple(
            (name.decode(errors="backslashreplace"), content)
            for name, content in zip(names, contents, strict=True)
        ),
        None if odd is None else f"the name of a header is not UTF-8: {odd[:100]!r}",
    )


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Cursor:
    """A position in bytes. Reading past their end raises `ValueError`."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position

    @property
    def has_more(self) -> bool:
        return self._position < len(self._data)

    def varint(self) -> int:
        """A number in zigzag encoding, of at most 64 bits."""
        number = 0
        for shift in range(0, 70, 7):
            if not self.has_more:
                raise ValueError("the record is cut off")
            byte = self._data[self._position]
            self._position += 1
            number |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return (number >> 1) ^ -(number & 1)
        raise ValueError("a number has more than 64 bits")

    def bytes_of_length(self) -> bytes | None:
        """The length and as many bytes; None for a negative length."""
        length = self.varint()
        if length < 0:
            return None
        end = self._position + length
        if end > len(self._data):
            raise ValueError("the record is cut off")
        found = self._data[self._position : end]
        self._position = end
        return found
