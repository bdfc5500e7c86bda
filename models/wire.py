"""Serializes answers, events and cached carts as JSON text.

Amounts keep their two digits (`160.00`, not `160.0`), times are UTC with milliseconds and `Z`.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from bson import ObjectId
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from models.money import cents

CAMEL_CASE = ConfigDict(alias_generator=to_camel, populate_by_name=True)
"""The configuration of models whose fields have camelCase names in JSON and in MongoDB."""

SENT = ConfigDict(
    **CAMEL_CASE, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
)
"""The configuration of models that are sent: every field is present, also one with a default. The
docstring of a field is its description."""


OPTIONAL = "x-optional"
"""Marks the fields of answers that may be absent, for `api.openapi_document`."""
Absent = Field(None, json_schema_extra={OPTIONAL: "or a value"})
"""The default of a field that only some answers have. The others leave it out."""
AbsentOrNull = Field(None, json_schema_extra={OPTIONAL: "or a value or null"})
"""The same for a field that can also be null."""


def timestamp(moment: datetime) -> str:
    """`2026-01-27T10:30:00.000Z`; `moment` must be aware."""
    utc = moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_milliseconds(moment: datetime) -> datetime:
    """The moment in the precision of MongoDB, so that answers equal the stored data."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(cents(value)))
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(value: Any) -> bytes:
    """The JSON text of a model (with its aliases) or of plain values."""
    return orjson.dumps(value, default=_encode, option=orjson.OPT_PASSTHROUGH_DATETIME)
