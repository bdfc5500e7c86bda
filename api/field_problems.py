"""Why a field of a request is invalid: its rule in words, its limits as numbers, and a code."""

import re
from dataclasses import dataclass
from typing import Any

from api.error_codes import ErrorCode
from api.fields import (
    MAX_EMAIL,
    MAX_ID,
    MAX_KEY,
    MAX_LIMIT,
    MAX_LOG_LEVEL_SECONDS,
    MAX_PAGE,
    MAX_TOKEN,
)
from api.schemas import FieldProblem
from models.acknowledgement import REASON_CHARACTERS
from models.batch import MAX_STEPS
from models.limits import MAX_QUANTITY
from models.money import MAX_PRICE
from models.products import MAX_DESCRIPTION, MAX_IMAGES, MAX_TITLE, MAX_URL
from models.store_settings import MINUTE
from models.user_id import MAX_USER_ID
from settings.cart import (
    CURRENCY_LETTERS,
    MOST_CHECKOUT_MINUTES,
    MOST_EXPIRY_DAYS,
    MOST_HOLD_MINUTES,
    MOST_LINES,
    MOST_UNITS,
    MOST_UNITS_OF_ONE,
    MOST_VALUE,
)

MAX_NAME = 64
"""The most characters of a client's field name that an answer quotes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field must be. `text` follows the field's name in a message.

    `min` and `max` limit the value of a number, the length of a string or the size of a list.
    """

    text: str
    min: int | None = None
    max: int | None = None
    allowed: tuple[str, ...] | None = None


def _integer(least: int, most: int) -> Rule:
    return Rule(f"must be an integer from {least} to {most}", min=least, max=most)


def _number(least: int, most: int) -> Rule:
    return Rule(f"must be a number from {least} to {most}", min=least, max=most)


_ID = Rule(f"must be 1 to {MAX_ID} letters, digits, _ or -", min=1, max=MAX_ID)
_KEY = Rule(f"must be 1 to {MAX_KEY} visible ASCII characters", min=1, max=MAX_KEY)
_TIME = Rule("must be a time such as 2026-01-27T10:30:00Z")
_PRICE = int(MAX_PRICE)
_LEVELS = ("debug", "info", "warn", "error")
_AVAILABILITY = ("available", "out_of_stock")
_STRATEGIES = ("sum", "max", "keep", "replace")
_RESERVATION_POLICIES = ("cart", "checkout", "none")
RULES = {
    "id": Rule("must be 24 hexadecimal digits", min=24, max=24),
    "storeId": _ID,
    "userId": Rule(
        f"must be 1 to {MAX_USER_ID} characters, none of them a control character",
        min=1,
        max=MAX_USER_ID,
    ),
    "productId": _ID,
    "sellerId": _ID,
    "page": _integer(1, MAX_PAGE),
    "limit": _integer(1, MAX_LIMIT),
    "cursor": Rule("must be the nextCursor of the page before"),
    "availability": Rule("must be available or out_of_stock", allowed=_AVAILABILITY),
    "updatedFrom": _TIME,
    "updatedTo": _TIME,
    "productTitle": Rule(
        f"must be a string of 1 to {MAX_TITLE} characters and not blank, without control "
        "characters",
        min=1,
        max=MAX_TITLE,
    ),
    "productImage": Rule(
        f"must be an http or https URL of at most {MAX_URL} characters, "
        f"or a list of at most {MAX_IMAGES} of them",
        max=MAX_IMAGES,
    ),
    "productImage[]": Rule(
        f"must be an http or https URL of at most {MAX_URL} characters", max=MAX_URL
    ),
    "productPrice": Rule(
        f"must be a number from 0 to {_PRICE} with at most two decimals", min=0, max=_PRICE
    ),
    "productDescription": Rule(
        f"must be a string of at most {MAX_DESCRIPTION} characters, without control characters "
        "other than tabs and newlines",
        max=MAX_DESCRIPTION,
    ),
    "quantity": Rule(f"must be between 1 and {MAX_QUANTITY}", min=1, max=MAX_QUANTITY),
    "email": Rule(f"must be a valid address of at most {MAX_EMAIL} characters", max=MAX_EMAIL),
    "reason": Rule(
        f"must be 1 to {REASON_CHARACTERS} characters and not blank", min=1, max=REASON_CHARACTERS
    ),
    "level": Rule("must be debug, info, warn or error", allowed=_LEVELS),
    "ttlSeconds": _integer(1, MAX_LOG_LEVEL_SECONDS),
    "currency": Rule(
        "must be three capital letters (ISO 4217)", min=CURRENCY_LETTERS, max=CURRENCY_LETTERS
    ),
    "operations": Rule(f"must be a list of 1 to {MAX_STEPS} operations", min=1, max=MAX_STEPS),
    "operations[]": Rule("must be an object with op, productId and the fields of its op"),
    "op": Rule("must be add, set or remove", allowed=("add", "set", "remove")),
    "mode": Rule(
        "must be all_or_nothing or best_effort", allowed=("all_or_nothing", "best_effort")
    ),
    "maxLines": _integer(1, MOST_LINES),
    "maxQuantity": _integer(1, MOST_UNITS_OF_ONE),
    "maxUnits": _integer(0, MOST_UNITS),
    "maxValue": _integer(0, MOST_VALUE),
    "expiryDays": _integer(1, MOST_EXPIRY_DAYS),
    "holdMinutes": _number(0, MOST_HOLD_MINUTES),
    "holdMaxMinutes": Rule(
        f"must be a number above 0 and at most {MOST_HOLD_MINUTES}", min=0, max=MOST_HOLD_MINUTES
    ),
    "guestToken": Rule(f"must be a guest's token of at most {MAX_TOKEN} characters", max=MAX_TOKEN),
    "strategy": Rule("must be sum, max, keep or replace", allowed=_STRATEGIES),
    "checkoutMinutes": Rule(
        f"must be a number above 0 and at most {MOST_CHECKOUT_MINUTES}",
        min=0,
        max=MOST_CHECKOUT_MINUTES,
    ),
    "reservationPolicy": Rule("must be cart, checkout or none", allowed=_RESERVATION_POLICIES),
    "idempotencyKey": _KEY,
    "Idempotency-Key": _KEY,
}
"""JSON name, parameter or header -> its rule; with `[]`, the rule of an element of a list."""

_CODES = {
    "missing": ErrorCode.REQUIRED,
    "extra_forbidden": ErrorCode.UNKNOWN_FIELD,
    "literal_error": ErrorCode.NOT_ALLOWED,
    "string_too_short": ErrorCode.TOO_SHORT,
    "too_short": ErrorCode.TOO_SHORT,
    "string_too_long": ErrorCode.TOO_LONG,
    "too_long": ErrorCode.TOO_MANY,
    "greater_than": ErrorCode.OUT_OF_RANGE,
    "greater_than_equal": ErrorCode.OUT_OF_RANGE,
    "less_than_equal": ErrorCode.OUT_OF_RANGE,
}
"""The kinds of pydantic's errors that have a code of their own, with it."""


def field_problem(error: dict[str, Any], body: Any) -> FieldProblem:
    """What one of pydantic's errors means for the client."""
    where, *path = error["loc"]
    if not path:
        return required(str(where))
    place = ""
    while len(path) > 2 and isinstance(path[1], int):  # noqa: PLR2004 (a field of a list's object)
        place += f"{path[0]}[{path[1]}]."
        body = body[path[0]][path[1]]
        path = path[2:]
    name = str(path[0])[:MAX_NAME]
    code = _code(error["type"])
    if code is ErrorCode.REQUIRED:
        return required(name, place)
    if code is ErrorCode.UNKNOWN_FIELD:
        return FieldProblem(code=code, field=place + name, message="Unknown field")
    if error["type"] == "int_type" and where == "body":
        message = f"{label(name)} must be an integer"
    elif error["type"] in {*ErrorCode} - _CODES.keys():
        message = str(error["msg"])  # of a validator of ours; empty for the rule itself
    else:
        message = ""
    # A single value that we have made a list of has no index for the client.
    given = body.get(name) if isinstance(body, dict) else None
    indices = [f"[{part}]" for part in path[1:] if isinstance(part, int)]
    shown = place + (name + "".join(indices) if isinstance(given, list) else name)
    if name not in RULES:
        message = message or f"{label(name)} is invalid: {error['msg']}"
        return FieldProblem(code=code, field=shown, message=message)
    element = f"{name}[]" if indices and f"{name}[]" in RULES else name
    return broken(element, code, message, field=shown)


def required(name: str, place: str = "") -> FieldProblem:
    """A field that is missing; `place` is the object in a list to which it belongs."""
    message = f"{label(name)} is required"
    return FieldProblem(code=ErrorCode.REQUIRED, field=place + name, message=message)


def broken(name: str, code: ErrorCode, message: str = "", *, field: str = "") -> FieldProblem:
    """A field that breaks its rule, with the rule's limits; `message` replaces the rule's text."""
    rule = RULES[name]
    return FieldProblem(
        code=code,
        field=field or name,
        message=message or f"{label(name.removesuffix('[]'))} {rule.text}",
        min=rule.min,
        max=rule.max,
        allowed=rule.allowed,
    )


def holds_too_long(most_seconds: float) -> FieldProblem:
    """Holds of a store that would outlast the longest time that they may last."""
    most = f"{most_seconds / MINUTE:g}"
    message = f"Hold minutes must not be more than holdMaxMinutes, which is {most}"
    return broken("holdMinutes", ErrorCode.OUT_OF_RANGE, message)


def label(name: str) -> str:
    """A field's name at the start of a sentence: `quantity` -> `Quantity`, `productId` ->
    `Product id`. Names of headers stay."""
    if "-" in name:
        return name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).capitalize()


def _code(kind: str) -> ErrorCode:
    if kind in _CODES:
        return _CODES[kind]
    if kind in {*ErrorCode}:  # raised by a validator of ours
        return ErrorCode(kind)
    is_type = kind.endswith(("_type", "_parsing", "_from_float"))
    return ErrorCode.INVALID_TYPE if is_type else ErrorCode.INVALID_FORMAT
