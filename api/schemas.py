"""Models of requests and responses: they validate input and define the OpenAPI schemas.

The cart itself is `models.cart.CartView`, the types of request fields are `api.fields`.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from api.error_codes import ErrorCode
from api.fields import (
    EMAIL_PATTERN,
    MAX_EMAIL,
    MAX_LOG_LEVEL_SECONDS,
    MAX_TOKEN,
    EntityId,
    IdempotencyKey,
    Images,
    Price,
)
from models.cart import CartView
from models.cart_line import CartLine
from models.events import MergeStrategy
from models.limits import MAX_QUANTITY
from models.money import Money
from models.products import Description, Title
from models.store_settings import StoreSettings
from models.wire import SENT, Absent, AbsentOrNull


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


class AddedItemBody(RequestBody):
    """A product and its units. An optional field that is null counts as absent."""

    product_id: EntityId
    product_title: Title
    product_image: Images | None = Field(
        None, description="http or https URLs of images. They are stored, and never fetched."
    )
    product_price: Price = Field(
        description="Price of one unit in the cart's currency, with at most two decimals. The "
        "service takes it as it is: check it when the order is placed. With a product service, "
        "title, images and price come from there, and these are ignored."
    )
    product_description: Description | None = None
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)] = Field(
        description="Units to add. An existing line grows by them; the limit applies to the sum."
    )
    seller_id: EntityId | None = None


class AddItemBody(AddedItemBody):
    """The product to add. An optional field that is null counts as absent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "productId": "507f1f77bcf86cd799439011",
                    "productTitle": "Wireless Headphones",
                    "productImage": ["https://example.com/image.jpg"],
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

    email: Annotated[str, Field(max_length=MAX_EMAIL, pattern=EMAIL_PATTERN)] | None = Field(
        None, description="The user's email address; the token's `email` claim takes precedence."
    )
    idempotency_key: IdempotencyKey | None = Field(
        None, description="Same as the `Idempotency-Key` header."
    )


def _not_zero(value: Any) -> Any:
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        text = f"Quantity must be between 1 and {MAX_QUANTITY}; to remove the item use DELETE"
        raise PydanticCustomError(ErrorCode.OUT_OF_RANGE, text)
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
    """Base of response bodies. A field is always present, unless it is `Absent`."""

    model_config = ConfigDict(**SENT, frozen=True)


class FieldProblem(ResponseBody):
    """A field and the rule that it breaks, with the limits of the rule as numbers."""

    code: ErrorCode
    field: str
    """The field's JSON name, the parameter or the header; `body` is the whole body."""
    message: str
    """The rule, in words for people."""
    min: int | None = Absent
    """The smallest value, length or number of elements."""
    max: int | None = Absent
    """The largest value, length or number of elements."""
    allowed: tuple[str, ...] | None = Absent
    """The allowed values."""
    limit: int | None = Absent
    """The cart's limit: units, products, bytes, or an amount in its currency."""
    current: int | None = Absent
    """What the cart has of that already; of bytes, what it would have with the item."""


class MissingLine(ResponseBody):
    """A product that cannot be reserved."""

    product_id: str
    wanted: int
    """The units that had to be reserved."""
    available: int | None
    """The units that can be reserved now. Null if not known."""


class Problem(ResponseBody):
    """Why a request was refused or failed. Fields other than `code` and `message` depend on the
    code."""

    code: ErrorCode
    message: str
    """The reason, in words for people."""
    error: Literal["Validation failed"] | None = Absent
    """With `validation_failed`."""
    details: tuple[FieldProblem, ...] | None = Absent
    """With `validation_failed`: each field that breaks a rule."""
    available: int | None = AbsentOrNull
    """With `insufficient_stock`: the units that can be reserved now. Null if not known."""
    max_quantity: int | None = AbsentOrNull
    """With `insufficient_stock` of an update: the largest quantity that the item can have now, its
    own units included. Null if not known."""
    product_id: str | None = Absent
    """With `unknown_product`: the product."""
    lines: tuple[MissingLine, ...] | None = Absent
    """With `insufficient_stock` of an operation on several items: those that cannot be had."""
    limit: int | None = Absent
    """With `body_too_large` the most bytes, with `rate_limited` the most requests a minute."""
    operation: int | None = Absent
    """The place of the refused operation in a batch, from 0."""
    cart_currency: str | None = Absent
    """With `currency_mismatch`: the currency of the items in the cart."""
    currency: str | None = Absent
    """With `currency_mismatch`: the currency in which the service sells now."""


class CheckedOutCart(ResponseBody):
    """What was checked out: it does not change until the checkout ends."""

    checkout_id: str
    """Identifies the checkout; the order names it."""
    cart_items: list[CartLine]
    """The items, whose units are held."""
    quantity: int
    """The units of all items."""
    total_price: Money
    """The sum of price times quantity of all items."""
    currency: str
    """The currency of all amounts (ISO 4217)."""
    version: int
    """The cart's version."""
    expires_at: datetime
    """When the checkout ends by itself, and the cart can be changed again."""


class Done(ResponseBody):
    """The request succeeded."""

    message: str


class ItemRemoved(ResponseBody):
    """The item was removed; the cart may be empty now."""

    message: str
    cart: CartView


class CartPage(ResponseBody):
    """One page of a store's carts, newest first."""

    carts: list[CartView]
    total_count: int
    """The carts on all pages."""
    total_pages: int


class CartList(ResponseBody):
    """The envelope around a page."""

    data: CartPage
    success: bool
    """Always true."""
    status_code: int
    """Always 200."""


class Accepted(ResponseBody):
    """The operation is still running; `Location` is the URL of its status."""

    message: str
    status: Literal["pending"] = "pending"
    operation_id: str


class OperationAnswer(ResponseBody):
    """The response to the request, whether or not the client received it."""

    status: int
    """The HTTP status."""
    body: dict[str, Any]
    """The JSON body: what the request's route answers with this status."""


class OperationStatus(ResponseBody):
    """The outcome of an operation; `answer` is absent while it is pending."""

    operation_id: str
    status: Literal["pending", "committed", "rejected", "aborted"]
    answer: OperationAnswer | None = Absent


class StoreSettingsBody(StoreSettings):
    """What a store sets for itself. A setting that is left out is as the service has it."""

    model_config = ConfigDict(populate_by_name=False)


class SettingsOfStore(ResponseBody):
    """The settings of a store."""

    store_id: str
    settings: StoreSettingsBody
    """What the store sets for itself."""
    effective: StoreSettingsBody
    """What is in effect: the store's own settings, and the service's for the others."""
    version: int
    """Counts the changes of the settings; 0 before the first."""
    updated_at: datetime | None = Absent
    """When they were changed last; absent before the first change."""


class LogLevelSet(ResponseBody):
    """The log level of every process until the given time."""

    level: Literal["debug", "info", "warn", "error"]
    ttl_seconds: int
    until: datetime


class Guest(ResponseBody):
    """A new guest, who has carts like any user."""

    token: str
    """The guest's bearer token. There is no other way to the guest's carts: keep it, and keep it
    secret."""
    expires_at: datetime
    """When the token expires."""


class MergeBody(RequestBody):
    """The guest whose cart is merged into yours."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"guestToken": "eyJhbGciOiJIUzI1NiIs…", "strategy": "sum"}]}
    )

    guest_token: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN)] = Field(
        description="The guest's token, from `POST /api/v1/guests`."
    )
    strategy: MergeStrategy = Field(
        "sum",
        description="What becomes of products in both carts. `sum`: the quantities are added. "
        "`max`: the larger one is taken. `keep`: yours stays. `replace`: your cart becomes the "
        "guest's, also your other items go.",
    )


class NotMergedItem(ResponseBody):
    """Units of the guest's cart that your cart did not get."""

    product_id: str
    quantity: int
    reason: ErrorCode
    """`insufficient_stock`, `product_not_accepted`, or the limit of the cart."""


class MergedCart(CartView):
    """Your cart after the merge."""

    not_merged: list[NotMergedItem] | None = Absent
    """What it did not get; absent if it got everything."""


class Services(ResponseBody):
    """The systems that this service uses."""

    mongodb: Literal["connected", "disconnected"]
    redis: Literal["connected", "disconnected"]
    kafka: Literal["connected", "disconnected"]
    temporal: Literal["connected", "disconnected"]
    inventory: Literal["reachable", "unreachable"]
    products: Literal["reachable", "unreachable"] | None = Absent
    """The product service, where one is configured."""


class Health(ResponseBody):
    """`unhealthy` without MongoDB or Temporal, `degraded` without one of the others."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: datetime
    services: Services
    version: str


class Liveness(ResponseBody):
    """The process is running."""

    status: Literal["alive"] = "alive"


class Readiness(ResponseBody):
    """Whether requests can be served."""

    status: Literal["ready", "not ready"]
    services: dict[str, Literal["connected", "disconnected"]]
    """The systems without which no cart can be changed."""
