"""Batches of Kafka records as other producers write them, and as none should.

`batch` has the format 2 (https://kafka.apache.org/documentation/#recordbatch). `produce` sends any
bytes to a broker, which Kafka's clients do not.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.codec import lz4_encode
from aiokafka.record.util import calc_crc32c
from cramjam import gzip, snappy, zstd

from tests.support.waiting import eventually


def _xerial(data: bytes) -> bytes:
    half = len(data) // 2
    blocks = [bytes(snappy.compress_raw(part)) for part in (data[:half], data[half:])]
    framed = b"".join(struct.pack(">i", len(block)) + block for block in blocks)
    return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + framed


CODECS: dict[str, tuple[int, Callable[[bytes], Any]]] = {
    "gzip": (1, gzip.compress),
    "snappy": (2, snappy.compress_raw),
    "snappy of Java": (2, _xerial),
    "lz4": (3, lz4_encode),  # cramjam's own framing is refused by brokers
    "zstd": (4, zstd.compress),
}
LATIN_1 = [("café".encode("latin-1"), b"x")]
"""A header whose name is not UTF-8."""
A_TIME = 1_769_509_800_000
_CRC_AT = 17
_PRODUCE_API, _PRODUCE_VERSION = 0, 7
_NOT_LEADER = 6


@dataclass(frozen=True)
class RawRecord:
    """A record; the names of its headers are bytes."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()

    def encoded(self, offset_delta: int) -> bytes:
        content = b"\0" + _varint(0) + _varint(offset_delta) + _sized(self.key) + _sized(self.value)
        content += _varint(len(self.headers))
        for name, value in self.headers:
            content += _sized(name) + _sized(value)
        return _sized(content)


def body_of(*records: RawRecord) -> bytes:
    """The records of a batch, without its header."""
    return b"".join(record.encoded(index) for index, record in enumerate(records))


def batch(
    *records: RawRecord,
    base: int = 0,
    codec: str | None = None,
    body: bytes | None = None,
    **fields: int,
) -> bytes:
    """A batch of the records, or with the body; `fields` replaces fields of the header."""
    number, compress = CODECS[codec] if codec else (0, bytes)
    content = bytes(compress(body_of(*records) if body is None else body))
    after_crc = struct.pack(
        ">hiqqqhii",
        fields.get("attributes", number),
        fields.get("last_delta", len(records) - 1),
        fields.get("timestamp", A_TIME),
        fields.get("timestamp", A_TIME),
        fields.get("producer", -1),
        -1,
        -1,
        fields.get("count", len(records)),
    )
    after_crc += content
    crc = fields.get("crc", calc_crc32c(after_crc))
    rest = struct.pack(">ibI", -1, fields.get("magic", 2), crc) + after_crc
    return struct.pack(">qi", base, fields.get("length", len(rest))) + rest


def with_wrong_crc(data: bytes) -> bytes:
    """The batch with another checksum."""
    return data[:_CRC_AT] + bytes([data[_CRC_AT] ^ 0xFF]) + data[_CRC_AT + 1 :]


def with_attributes(data: bytes, attributes: int) -> bytes:
    """The batch with other attributes, of which the lowest three bits are the codec."""
    after_crc = struct.pack(">h", attributes) + data[_CRC_AT + 6 :]
    return data[:_CRC_AT] + struct.pack(">I", calc_crc32c(after_crc)) + after_crc


def with_magic(data: bytes, magic: int) -> bytes:
    """The batch with the number of another format."""
    return data[: _CRC_AT - 1] + bytes([magic]) + data[_CRC_AT:]


def overwrite(log_folder: Path, data: bytes, change: Callable[[bytes], bytes]) -> None:
    """Changes a batch in the files of a running broker, which would not accept the changed one.

    A broker returns the bytes of its files as they are.
    """
    tail = data[_CRC_AT:]  # the broker has set the offset and epoch before it
    [(file, found)] = [
        (file, content.index(tail))
        for file in log_folder.rglob("*.log")
        if tail in (content := file.read_bytes())
    ]
    begin = found - _CRC_AT
    with file.open("r+b") as log:
        log.seek(begin)
        changed = change(log.read(len(data)))
        log.seek(begin)
        log.write(changed)


class BatchRefusedError(ValueError):
    """The broker does not store a batch."""


async def produce(port: int, topic: str, partition: int, data: bytes) -> int:
    """Sends a batch as it is; returns its offset. Raises `BatchRefusedError`."""

    async def sent() -> tuple[int, int]:
        code, offset = await _produce(port, topic, partition, data)
        assert code != _NOT_LEADER  # the topic was just created
        return code, offset

    code, offset = await eventually(sent)
    if code:
        raise BatchRefusedError(f"the broker refuses the batch with error {code}")
    return offset


async def _produce(port: int, topic: str, partition: int, data: bytes) -> tuple[int, int]:
    """Error code and offset."""
    request = struct.pack(">hhi", _PRODUCE_API, _PRODUCE_VERSION, 1) + _text("test")
    request += struct.pack(">hhii", -1, 1, 10_000, 1) + _text(topic)
    request += struct.pack(">iii", 1, partition, len(data)) + data
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(struct.pack(">i", len(request)) + request)
            await writer.drain()
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            answer = await reader.readexactly(size)
        finally:
            writer.close()
            await writer.wait_closed()
    code, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
    return int(code), int(offset)


def _sized(data: bytes | None) -> bytes:
    return _varint(-1) if data is None else _varint(len(data)) + data


def _varint(number: int) -> bytes:
    rest = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
