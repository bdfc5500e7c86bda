"""Answers that are compressed although none was asked for: gateways do so on their own."""

import zlib

# Services name the charset here by mistake.
_NONE = {"", "identity", "utf-8"}
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def decompressed(body: bytes, coding: str, *, most: int) -> bytes:
    """The content of a body with this `Content-Encoding`: at most so many bytes.

    Raises `ValueError` if it is larger, cannot be decompressed, or has another coding.
    """
    coding = coding.strip().lower()
    if coding in _NONE:
        return body
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise ValueError(f"the answer has the Content-Encoding {coding!r:.40}")
    if not body:
        return body
    decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        content = decoder.decompress(body, most + 1)
    except zlib.error as error:
        raise ValueError(f"the answer cannot be decompressed: {error}") from None
    if len(content) > most:
        raise ValueError("the answer is too large when decompressed")
    if not decoder.eof:
        raise ValueError("the answer cannot be decompressed: its end is missing")
    return content
