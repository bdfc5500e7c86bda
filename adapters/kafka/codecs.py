"""Kafka: decompressing the records of a batch, within a bound.

aiokafka's own functions decompress without one: 149 KB of gzip become 150 MB. Here the output
buffer has the size of the bound, and a codec fails when the buffer is full.
"""

import struct

from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch
from cramjam import gzip, lz4, snappy, zstd

MAX_BATCH_BYTES = 16 * 1024 * 1024
"""The most that a batch may have after decompression: sixteen times what brokers accept of a batch
by default (`message.max.bytes`), and events compress about tenfold."""

_STREAMS = {
    DefaultRecordBatch.CODEC_GZIP: gzip.decompress_into,
    DefaultRecordBatch.CODEC_LZ4: lz4.decompress_into,
    DefaultRecordBatch.CODEC_ZSTD: zstd.decompress_into,
}
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = len(_XERIAL) + 8  # two version numbers
_BLOCK_LENGTH = struct.Struct(">i")


def decompressed(codec: int, data: bytes) -> bytes:
    """The records of a batch that was compressed with `codec` (bits 0 to 2 of its attributes).

    Raises `UnsupportedCodecError` for a codec that Kafka does not have, and another exception for
    data that is broken or larger than `MAX_BATCH_BYTES`.
    """
    if codec == DefaultRecordBatch.CODEC_SNAPPY:
        return _snappy(data)
    decompress_into = _STREAMS.get(codec)
    if decompress_into is None:
        raise UnsupportedCodecError(f"unknown codec {codec}")
    # The system provides memory for the pages that are written, not for all of the buffer.
    output = bytearray(MAX_BATCH_BYTES)
    size = decompress_into(data, output)
    return bytes(memoryview(output)[:size])


def _snappy(data: bytes) -> bytes:
    """Snappy as one block, or as the blocks that Java's library writes (xerial)."""
    if not data.startswith(_XERIAL):
        return _snappy_block(data, MAX_BATCH_BYTES)
    found = bytearray()
    position = _XERIAL_HEADER_BYTES
    while position < len(data):
        (length,) = _BLOCK_LENGTH.unpack_from(data, position)
        position += _BLOCK_LENGTH.size
        if not 0 < length <= len(data) - position:
            raise CorruptRecordException(f"a snappy block of {length} bytes")
        block = data[position : position + length]
        found += _snappy_block(block, MAX_BATCH_BYTES - len(found))
        position += length
    return bytes(found)


def _snappy_block(block: bytes, most: int) -> bytes:
    size = snappy.decompress_raw_len(block)
    if size > most:
        raise CorruptRecordException(f"{size} bytes after decompression")
    output = bytearray(size)
    snappy.decompress_raw_into(block, output)
    return bytes(output)
