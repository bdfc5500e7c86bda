"""Models of requests and responses: they validate input and define the OpenAPI schemas.

`RULES` describes the constraints of each field; `api.errors` uses it in messages. The cart itself
is `models.cart.CartView`.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from models.cart import CartView
from models.limits import MAX_QUANTITY
from models.money import MAX_PRICE, cents
from models.user_id import MAX_USER_ID
from models.wire import CAMEL_CASE

# Patterns are run by pydantic's engine, where `$` is the very end: no newline may follow.
ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
CART_ID_PATTERN = r"^[0-9a-fA-F]{24}$"
KEY_PATTERN = r"^[!-~]{1,255}$"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
EMAIL_PATTERN = rf"^{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+$"
# No control character and no noncharacter (Unicode 23.7). The marks of Cf stay: emoji, Persian and
# right-to-left titles need them.
_NO_TEXT = r"\x7F-\x9F\uFDD0-\uFDEF\uFFFE\uFFFF"
_NO_TITLE = rf"\x00-\x1F{_NO_TEXT}"
# Not blank, for the white space of every regular expression dialect.
TITLE_PATTERN = rf"^[^{_NO_TITLE}]*[^{_NO_TITLE}\s\uFEFF][^{_NO_TITLE}]*$"
DESCRIPTION_PATTERN = rf"^[^\x00-\x08\x0B\x0C\x0E-\x1F{_NO_TEXT}]*$"
MAX_IMAGES = 20
MAX_URL = 2048
MAX_TITLE = 500
MAX_DESCRIPTION = 5000
MAX_EMAIL = 254
MAX_LOG_LEVEL_SECONDS = 86_400

_ID_RULE = "must be 1 to 64 letters, digits, _ or -"
_KEY_RULE = "must be 1 to 255 visible ASCII characters"
_CART_ID_RULE = "must be 24 hexadecimal digits"
RULES = {
    "id": _CART_ID_RULE,
    "storeId": _ID_RULE,
    "userId": f"must be 1 to {MAX_USER_ID} characters, none of them a control character",
    "page": "must be an integer from 1 to 1000000",
    "limit": "must be an integer from 1 to 100",
    "availability": "must be available or out_of_stock",
    "updatedFrom": "must be a time such as 2026-01-27T10:30:00Z",
    "updatedTo": "must be a time such as 2026-01-27T10:30:00Z",
    "productId": _ID_RULE,
    "sellerId": _ID_RULE,
    "productTitle": (
        f"must be a string of 1 to {MAX_TITLE} characters and not blank, without control characters"
    ),
    "productImage": (
        f"must be an http or https URL of at most {MAX_URL} characters, "
        f"or a list of at most {MAX_IMAGES} of them"
    ),
    "productPrice": f"must be a number from 0 to {MAX_PRICE} with at most two decimals",
    "productDescription": (
        f"must be a string of at most {MAX_DESCRIPTION} characters, without control characters "
        "other than tabs and newlines"
    ),
    "quantity": f"must be between 1 and {MAX_QUANTITY}",
    "email": f"must be a valid address of at most {MAX_EMAIL} characters",
    "level": "must be debug, info, warn or error",
    "ttlSeconds": f"must be an integer from 1 to {MAX_LOG_LEVEL_SECONDS}",
    "idempotencyKey": _KEY_RULE,
    "Idempotency-Key": _KEY_RULE,
}
"""JSON name, path parameter or header -> its rule, which follows the field's name in a message."""

# RFC 3339, 5.6, without leap seconds, which Python's datetime cannot hold.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_URL = re.compile(r"https?://[^\s\x00-\x20\x7f-\x9f\\]+", re.IGNORECASE)


def _price(value: Any) -> Decimal:
    """The price with two decimals. Accepts JSON numbers, not `true`."""
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if is_number and 0 <= value <= MAX_PRICE:
        amount = Decimal(value)
        if amount == cents(amount):  # at most two decimals
            return abs(cents(amount))  # -0.0 is 0.00
    raise ValueError("must be an amount")


def _url(value: str) -> str:
    if not _URL.fullmatch(value) or len(value) > MAX_URL:
        raise ValueError("must be a URL")
    parts = urlsplit(value)
    if not parts.hostname or (parts.port is not None and parts.port == 0):
        raise ValueError("must name a host")
    return value


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


_IMAGE_SCHEMA = {"type": "string", "format": "uri", "maxLength": MAX_URL}

EntityId = Annotated[str, Field(pattern=ID_PATTERN)]
# Finds any user, and more than there can be: the rule for them (`models.user_id`) is no pattern.
UserIdFilter = Annotated[
    str, Field(pattern=rf"^[^\x00-\x1f\x7f-\x9f]{{1,{MAX_USER_ID}}}$", max_length=MAX_USER_ID)
]
IdempotencyKey = Annotated[str, Field(pattern=KEY_PATTERN)]
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE, pattern=TITLE_PATTERN)]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION, pattern=DESCRIPTION_PATTERN)]
Price = Annotated[
    Decimal,
    BeforeValidator(_price),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": int(MAX_PRICE), "multipleOf": 0.01}),
]
Time = Annotated[
    datetime,
    BeforeValidator(_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Images = Annotated[
    list[Annotated[str, AfterValidator(_url)]],
    Field(max_length=MAX_IMAGES),
    BeforeValidator(_listed),
    WithJsonSchema(
        {"anyOf": [_IMAGE_SCHEMA, {"type": "array", "items": _IMAGE_SCHEMA, "maxItems": 20}]}
    ),
]


class RequestBody(BaseModel):
    """Base of request bodies: JSON names, no coercion, no unknown fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        extra="forbid",
        frozen=True,
        strict=True,
    )


class AddItemBody(RequestBody):
    """The product to add. An optional field that is null counts as absent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "productId": "507f1f77bcf86cd799439011",
                    "productTitle": "Wireless Headphones",
                    "productImage": "https://example.com/image.jpg",
                    "productPrice": 79.99,
                    "productDescription": "Premium wireless headphones",
                    "quantity": 2,
                    "email": "user@example.com",
                    "sellerId": "507f1f77bcf86cd799439012",
                    "idempotencyKey": "unique-request-id-123",
                }
            ]
        }
    )

    product_id: EntityId
    product_title: Title
    product_image: Images | None = Field(
        None, description="One URL, or a list of URLs. Stored as a list, never fetched."
    )
    product_price: Price = Field(description="Price of one unit in the cart's currency.")
    product_description: Description | None = None
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)] = Field(
        description="Units to add. An existing line grows by them; the limit applies to the sum."
    )
    email: Annotated[str, Field(max_length=MAX_EMAIL, pattern=EMAIL_PATTERN)] | None = Field(
        None, description="The user's email address; the token's `email` claim takes precedence."
    )
    seller_id: EntityId | None = None
    idempotency_key: IdempotencyKey | None = Field(
        None, description="Same as the `Idempotency-Key` header."
    )


def _not_zero(value: Any) -> Any:
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        text = f"Quantity must be between 1 and {MAX_QUANTITY}; to remove the item use DELETE"
        raise PydanticCustomError("in_words", text)
    return value


class UpdateQuantityBody(RequestBody):
    """The new quantity of a line."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"productId": "507f1f77bcf86cd799439011", "quantity": 5}]}
    )

    product_id: EntityId
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY), BeforeValidator(_not_zero)] = Field(
        description="The line's new quantity. To remove the line, use DELETE."
    )


class RemoveItemBody(RequestBody):
    """The product to remove."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"productId": "507f1f77bcf86cd799439011"}]}
    )

    product_id: EntityId


class LogLevelBody(RequestBody):
    """The log level of every process, and its duration."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"level": "debug", "ttlSeconds": 900}]}
    )

    level: Literal["debug", "info", "warn", "error"]
    ttl_seconds: Annotated[int, Field(ge=1, le=MAX_LOG_LEVEL_SECONDS)] = Field(
        900, description="Seconds until each process returns to its configured level."
    )


class ResponseBody(BaseModel):
    """Base of response bodies."""

    model_config = ConfigDict(**CAMEL_CASE, frozen=True)


class Problem(ResponseBody):
    """Why a request failed. `code`, if present, is stable."""

    message: str
    code: str | None = None


class InsufficientStock(ResponseBody):
    """Not enough stock; nothing was changed. `available` is null where that is not known."""

    message: str
    code: Literal["insufficient_stock"] = "insufficient_stock"
    available: int | None


class ProductNotAccepted(ResponseBody):
    """The inventory takes no reservation of the product; nothing was changed."""

    message: str
    code: Literal["product_not_accepted"] = "product_not_accepted"


class Done(ResponseBody):
    """The request succeeded."""

    message: str


class CartPage(ResponseBody):
    """One page of a store's carts, newest first."""

    carts: list[CartView]
    total_count: int
    total_pages: int


class CartList(ResponseBody):
    """The envelope around a page."""

    data: CartPage
    success: Literal[True] = True
    status_code: Literal[200] = 200


class FieldProblem(ResponseBody):
    """A field and the rule that it violates."""

    field: str
    message: str


class ValidationProblem(ResponseBody):
    """The request is invalid; nothing was changed."""

    error: Literal["Validation failed"] = "Validation failed"
    details: list[FieldProblem]


class Accepted(ResponseBody):
    """The operation is still running; `Location` is the URL of its status."""

    message: str
    status: Literal["pending"] = "pending"
    operation_id: str


class OperationAnswer(ResponseBody):
    """The response to the request, whether or not the client received it."""

    status: int
    body: dict[str, Any]


class OperationStatus(ResponseBody):
    """The outcome of an operation; `answer` is absent while it is pending."""

    operation_id: str
    status: Literal["pending", "committed", "rejected", "aborted"]
    answer: OperationAnswer | None = None


class LogLevelSet(ResponseBody):
    """The log level of every process until the given time."""

    level: Literal["debug", "info", "warn", "error"]
    ttl_seconds: int
    until: datetime


class Services(ResponseBody):
    """The systems that this service uses."""

    mongodb: Literal["connected", "disconnected"]
    redis: Literal["connected", "disconnected"]
    kafka: Literal["connected", "disconnected"]
    temporal: Literal["connected", "disconnected"]
    inventory: Literal["reachable", "unreachable"]


class Health(ResponseBody):
    """`unhealthy` without MongoDB or Temporal, `degraded` without one of the others."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: str
    services: Services
    version: str


class Liveness(ResponseBody):
    """The process is running."""

    status: Literal["alive"] = "alive"


class Readiness(ResponseBody):
    """Whether requests can be served."""

    status: Literal["ready", "not ready"]
    services: dict[str, str]
