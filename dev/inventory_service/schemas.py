"""Requests and responses: one strict model each, except those of fault injection (`faults.py`).

JSON names are camelCase. Unknown fields are refused and nothing is coerced: `"1"`, `1.0` and `true`
are not quantities.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

# The reason of an undo. Without a reserve to undo, it is recorded and releases nothing.
SAGA_ABORTED = "saga_aborted"
# The reason that books held units as sold instead of making them available again.
ORDER_CANCELLED = "order_cancelled"
ORDER_COMPLETED = "order_completed"

PAGE_DEFAULT = 100
PAGE_MAX = 1000
_ID_CHARACTERS = "[A-Za-z0-9_-]{1,64}"

EntityId = Annotated[str, Field(pattern=f"^{_ID_CHARACTERS}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have printable characters only")
    return text


# A subject of the tokens' issuer.
UserId = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
SagaId = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
Quantity = Annotated[int, Field(ge=1, le=1_000_000)]
TimeToLive = Annotated[int, Field(ge=1, le=90 * 24 * 3600)]  # seconds
# Far below 2^63: no sum of stock and holds can overflow in the database.
Available = Annotated[int, Field(ge=0, le=10**12)]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )


class _Action(_Model):
    """An action; it is idempotent by store, product and saga."""

    store_id: EntityId
    product_id: EntityId
    quantity: Quantity
    user_id: UserId
    saga_id: SagaId


class ReserveRequest(_Action):
    reservation_type: Literal["cart"]
    ttl_seconds: TimeToLive | None = None
    """After this time the units are free again, as far as they are still held."""


class ReleaseRequest(_Action):
    reason: Annotated[str, Field(min_length=1, max_length=64)]
    order_id: EntityId | None = None


class TransferRequest(_Model):
    """Moves held units from one user to another; the undo of the saga moves them back."""

    store_id: EntityId
    product_id: EntityId
    quantity: Quantity
    from_user_id: UserId
    to_user_id: UserId
    saga_id: SagaId
    ttl_seconds: TimeToLive | None = None
    """As at a reserve: the units become free, and do not go back to the first user."""


class StockRequest(_Model):
    available: Available


class StoreQuery(_Model):
    store_id: EntityId


class ReservationsQuery(_Model):
    # Query parameters are text; `limit` is parsed.
    model_config = ConfigDict(strict=False)

    store_id: EntityId
    user_id: UserId | None = None
    product_id: EntityId | None = None
    # The last row of the previous page, `user~product`; opaque to clients.
    cursor: Annotated[str | None, Field(pattern=f"^.{{1,255}}~{_ID_CHARACTERS}$")] = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class ReserveAnswer(_Model):
    """200 if `success`, else 409; `message` is the reason if it is not lack of stock."""

    success: bool
    available: int
    reservation_id: str | None = None
    message: str | None = None


class ReleaseAnswer(_Model):
    success: Literal[True]
    released: int


class StockAnswer(_Model):
    """Units of one product; their sum changes only when stock is set."""

    available: int
    held: int
    sold: int


class Reservation(_Model):
    user_id: str
    product_id: str
    quantity: int


class ReservationsPage(_Model):
    """Ordered by user and product; `cursor` is that of the next page, null on the last."""

    reservations: list[Reservation]
    cursor: str | None


class ProductRequest(_Model):
    """What a product of a store is called and costs; `currency` may be left to the store."""

    title: Annotated[str, Field(min_length=1, max_length=500)]
    images: Annotated[list[Annotated[str, Field(max_length=2048)]], Field(max_length=20)] = []
    # A JSON number; read as a decimal, because 79.99 is none in binary.
    price: Annotated[
        Decimal, Field(strict=False, ge=0, le=1_000_000, decimal_places=2), PlainSerializer(float)
    ]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None


class ProductAnswer(ProductRequest):
    """A product of a store."""

    product_id: EntityId


class HealthAnswer(_Model):
    status: Literal["healthy", "unhealthy"]


class Problem(_Model):
    message: str


class FieldProblem(_Model):
    field: str
    message: str


class ValidationProblem(_Model):
    error: Literal["Validation failed"]
    details: list[FieldProblem]
