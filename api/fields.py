"""The types of request fields and parameters, with their bounds.

`api.schemas` has the bodies that they are in. `api.field_problems` has the rules in words.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.error_codes import ErrorCode
from models.money import MAX_PRICE, cents
from models.products import MAX_IMAGES, ImageUrl
from models.user_id import MAX_USER_ID

# Patterns are run by pydantic's engine, where `$` is the very end: no newline may follow.
MAX_ID = 64
MAX_KEY = 255
MAX_PAGE = 1_000_000
MAX_LIMIT = 100
ID_PATTERN = rf"^[A-Za-z0-9_-]{{1,{MAX_ID}}}$"
CART_ID_PATTERN = r"^[0-9a-fA-F]{24}$"
CURSOR_PATTERN = r"^[1-9][0-9]{0,17}$"
KEY_PATTERN = rf"^[!-~]{{1,{MAX_KEY}}}$"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
EMAIL_PATTERN = rf"^{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+$"
MAX_EMAIL = 254
MAX_TOKEN = 2048
MAX_LOG_LEVEL_SECONDS = 86_400

# RFC 3339, 5.6, without leap seconds, which Python's datetime cannot hold.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _price(value: Any) -> Decimal:
    """The price with two decimals. Accepts JSON numbers, not `true`."""
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise PydanticCustomError(ErrorCode.INVALID_TYPE, "")
    if not 0 <= value <= MAX_PRICE:
        raise PydanticCustomError(ErrorCode.OUT_OF_RANGE, "")
    amount = Decimal(value)
    if amount != cents(amount):  # more than two decimals
        raise PydanticCustomError(ErrorCode.INVALID_FORMAT, "")
    return abs(cents(amount))  # -0.0 is 0.00


def _listed(value: Any) -> Any:
    """Makes a list of a single image."""
    return [value] if isinstance(value, str) else value


def _time(value: Any) -> datetime:
    """A time with an offset. pydantic would also accept `0.5`, a date or a local time."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("must be a time")
    time = datetime.fromisoformat(value.upper())
    try:
        return time.astimezone(UTC)
    except OverflowError:  # year 0 or 10000 in UTC, which matches no cart
        return time.replace(tzinfo=UTC)


def _digits(value: Any) -> Any:
    """The digits of a query parameter. pydantic would also accept `+1`, `1.0` and `1_0`."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise PydanticCustomError(ErrorCode.INVALID_TYPE, "")
    return value


DIGITS = BeforeValidator(_digits)
"""Of a whole number in the query. Stands behind its bounds, which are not in the document else."""
EntityId = Annotated[str, Field(pattern=ID_PATTERN)]
# Finds any user, and more than there can be: the rule for them (`models.user_id`) is no pattern.
UserIdFilter = Annotated[
    str, Field(pattern=rf"^[^\x00-\x1f\x7f-\x9f]{{1,{MAX_USER_ID}}}$", max_length=MAX_USER_ID)
]
IdempotencyKey = Annotated[str, Field(pattern=KEY_PATTERN)]
# `multipleOf: 0.01` would refuse 79.99 in validators that divide binary floats.
Price = Annotated[
    Decimal,
    BeforeValidator(_price),
    WithJsonSchema({"type": "number", "format": "double", "minimum": 0, "maximum": int(MAX_PRICE)}),
]
Time = Annotated[
    datetime,
    BeforeValidator(_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
# Documented as a list: a union would have no usable type in generated clients.
Images = Annotated[
    list[ImageUrl],
    Field(max_length=MAX_IMAGES),
    BeforeValidator(_listed),
]
