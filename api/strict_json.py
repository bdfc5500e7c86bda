"""Strict JSON: input that parsers interpret differently is rejected.

Rejected: duplicate keys, NaN and infinities, invalid UTF-8, lone surrogates, numbers and nesting
beyond what any client needs, and anything but an object at the top (RFC 8259, sections 4, 6, 8).
Numbers with a fraction or an exponent become `Decimal`, so that no amount passes through a float.

Not orjson or `pydantic_core.from_json`: both accept duplicate keys, and parse amounts as floats.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn


class StrictJsonError(ValueError):
    """The text is rejected; the message is for the client."""


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`; raises `StrictJsonError`."""
    try:
        text = raw.decode("utf-8-sig")  # a byte order mark may be ignored (RFC 8259, 8.1)
    except UnicodeDecodeError:
        raise StrictJsonError("Body must be UTF-8") from None
    try:
        value = _DECODER.decode(text)
        if "\\" in text:  # decoded UTF-8 has no surrogates, only escapes can make them
            _refuse_lone_surrogates(value)
    except RecursionError:
        raise StrictJsonError("Body is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise StrictJsonError(f"Body is not valid JSON: {error.msg} at {place}") from None
    if not isinstance(value, dict):
        raise StrictJsonError("Body must be a JSON object")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts
        raise StrictJsonError("Body has a number with too many digits") from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise StrictJsonError("Body has a number that is out of range") from None


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"Body is not valid JSON: {name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("Body has the same key more than once in an object")
    return found


_DECODER = json.JSONDecoder(
    parse_float=_decimal,
    parse_int=_integer,
    parse_constant=_refuse_constant,
    object_pairs_hook=_unique,
)


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise StrictJsonError("Body has an unpaired surrogate escape") from None
